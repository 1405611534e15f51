use super::key;
use std::fmt;

/// The sizes of one GEMM: A is [m, k], B is [n, k], C is [m, n].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Group {
    /// Rows of A (tokens). May be 0.
    pub m: u32,
    /// Rows of B (weights).
    pub n: u32,
    /// Elements summed over.
    pub k: u32,
}

/// The type C is stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputType {
    /// IEEE binary16.
    F16,
    /// bfloat16.
    Bf16,
    /// IEEE binary32.
    F32,
}

/// Whether B and its scales may change while the kernel is being launched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Weights {
    /// No kernel that is still running writes them: they may be read before the previous kernel has finished.
    Static,
    /// A previous kernel may still be writing them.
    #[default]
    Dynamic,
}

/// A grouped GEMM with all its sizes, the unit for which a kernel is generated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// What people call it. Not part of the key.
    pub name: String,
    /// The GEMMs, in the order in which the caller passes their pointers.
    pub groups: Vec<Group>,
    /// The type C is stored in.
    pub output: OutputType,
    /// Whether the weights may change while the kernel is being launched.
    pub weights: Weights,
}

impl Group {
    /// Multiplications and additions, each counted as one.
    pub fn flops(&self) -> u128 {
        2 * u128::from(self.m) * u128::from(self.n) * u128::from(self.k)
    }

    /// Bytes that must cross the memory bus at least once: both operands, their scales without padding, and C.
    /// None if `m` is 0, for then there is no reason to read B.
    pub fn bytes_moved(&self, output: OutputType) -> u64 {
        let [m, n, k] = [self.m, self.n, self.k].map(u64::from);
        if m == 0 {
            0
        } else {
            (m + n) * (k / 2 + k / 16) + m * n * output.bytes()
        }
    }
}

impl Set {
    /// The canonical name of the set's kernel: the same for the same sizes and options, different otherwise, stable
    /// across versions, and safe as a file name (`a-z`, `0-9`, `_`, `-`; at most [`super::MAX_KEY_LEN`] characters).
    ///
    /// `g2_m192-320_n3072_k4096_f16_static` has two groups; a list of equal numbers is written once. Where the key
    /// would be too long, lists become their range and a hash of the full key follows:
    /// `g64_m0to96_n4096_k7168_f16_static_0123456789abcdef`.
    pub fn key(&self) -> String {
        key::of(self)
    }

    /// Multiplications and additions, each counted as one.
    pub fn flops(&self) -> u128 {
        self.groups.iter().map(Group::flops).sum()
    }

    /// Bytes that must cross the memory bus at least once (see [`Group::bytes_moved`]).
    pub fn bytes_moved(&self) -> u64 {
        self.groups
            .iter()
            .map(|group| group.bytes_moved(self.output))
            .sum()
    }

    /// Whether two sets need the same kernel, whatever their names.
    pub fn same_kernel(&self, other: &Self) -> bool {
        (&self.groups, self.output, self.weights) == (&other.groups, other.output, other.weights)
    }
}

impl OutputType {
    /// All output types.
    pub const ALL: [Self; 3] = [Self::F16, Self::Bf16, Self::F32];

    /// The output types for which kernels are generated today.
    pub const EMITTED: &[Self] = &[Self::F16];

    /// The name in shape files and keys.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
        }
    }

    /// Bytes of one element.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
        }
    }
}

impl Weights {
    /// Both choices.
    pub const ALL: [Self; 2] = [Self::Static, Self::Dynamic];

    /// The name in shape files and keys.
    pub fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Dynamic => "dynamic",
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.m, self.n, self.k)
    }
}

impl fmt::Display for OutputType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
