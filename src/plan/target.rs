//! The GPUs that kernels are planned for.

use std::fmt;
use std::str::FromStr;

/// What a plan must know of a GPU architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The name as in `.target`.
    pub name: &'static str,
    /// The `.version` to emit. 8.7 is the first that has `kind::mxf4nvf4` with `scale_vec::4X`, so it loads on the
    /// widest range of drivers (brief, ecosystem B3).
    pub ptx_version: &'static str,
    /// Streaming multiprocessors of the part that schedules are tuned for.
    pub sms: u32,
    /// Shared memory that one CTA can have, in bytes.
    pub shared_bytes: u32,
    /// Token tiles of a group start at multiples of this many rows.
    ///
    /// The scale of row r sits in lane r % 32 of tensor memory and `tcgen05.cp` cannot shift across lanes, so the step
    /// is a multiple of 32. An odd multiple would put a tile's first scale at an odd column: no public kernel does that
    /// (they shift by two columns for tiles of 64 and 192), and tensor memory is known to fault on other accesses at odd
    /// columns. Until silicon says otherwise the step is 64: M = 320 becomes 192 + 128, and 160 + 160 with a step of 32,
    /// which the emulator runs as well.
    pub token_start_step: u32,
    /// Token tiles are this many rows wide, or a multiple: the grain of the tensor core's N side.
    pub token_grain: u32,
    /// Which kernels it runs.
    pub family: Family,
}

/// The kinds of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Block-scaled FP4 MMAs from shared memory into tensor memory.
    Blackwell,
    /// f16 MMAs from registers and shared memory into registers: FP4 is dequantised on the way.
    Hopper,
}

/// Blackwell, B200.
pub const SM_100A: Target = Target {
    name: "sm_100a",
    ptx_version: "8.7",
    sms: 148,
    shared_bytes: 232_448,
    token_start_step: 64,
    token_grain: 16,
    family: Family::Blackwell,
};

/// Blackwell Ultra, B300. The same kernels; `scale_vec::4X` needs `.version` 8.8 there.
pub const SM_103A: Target = Target {
    name: "sm_103a",
    ptx_version: "8.8",
    ..SM_100A
};

/// Hopper, H100 and H200. `.version` 8.1 is the first with parameters of more than 4 KB, 8.3 the first with the fence that
/// tensor maps in device memory need.
pub const SM_90A: Target = Target {
    name: "sm_90a",
    ptx_version: "8.3",
    sms: 132,
    shared_bytes: 232_448,
    token_start_step: 8,
    token_grain: 8,
    family: Family::Hopper,
};

/// Every target that can be asked for.
pub const TARGETS: [Target; 3] = [SM_100A, SM_103A, SM_90A];

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A target name that is not in [`TARGETS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTarget(String);

impl fmt::Display for UnknownTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<_> = TARGETS.iter().map(|t| t.name).collect();
        write!(
            f,
            "unknown target `{}`; known targets are {}",
            self.0,
            known.join(", ")
        )
    }
}

impl std::error::Error for UnknownTarget {}

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        TARGETS
            .into_iter()
            .find(|t| t.name == name)
            .ok_or_else(|| UnknownTarget(name.to_owned()))
    }
}
