//! What instructions mean. One file per family: each decodes its opcodes once, when the module is loaded, into objects
//! that later act on a whole warp at a time.
//!
//! Contract: an opcode, modifier or operand form that is not implemented is refused here, with its line, before anything runs.

mod async_store;
mod atomic;
mod atomic_wide;
mod barrier;
mod bits;
mod cancel;
mod compare;
mod control;
mod convert;
mod copy;
mod decode;
mod fence;
mod fixed_point;
mod float;
mod form;
mod fragment;
mod half_float;
mod hints;
mod integer;
mod lanes;
mod lop3;
mod matrix;
mod matrix_bytes;
mod mbarrier;
mod memory;
mod minifloat;
mod mma;
mod mma_double;
mod mma_narrow;
mod mma_scaled;
mod mma_sparse;
mod movement;
mod pack;
mod packed;
mod reduction;
mod rounding;
mod special;
mod stack;
mod stochastic;
mod tcgen05;
mod tensormap;
mod types;
mod video;
mod warp;
mod wgmma;
mod wmma;

pub(crate) use decode::{Code, Functions, STATIC_SHARED, decode_entry, extent};
pub(crate) use form::Addr;
pub(crate) use mma_sparse::Metadata;
pub(crate) use reduction::Reduction;
pub(crate) use special::{LaneMask, Special};
pub(crate) use tcgen05::LoadReduction;
pub(crate) use types::{sign_extend, truncate};

use crate::error::LoadError;
use crate::machine::{FaultKind, Flow, Step};
use form::Form;

/// Index of a register in the warp's register file.
pub(crate) type Slot = u32;

/// The register that `_` writes to.
pub(crate) const SINK: Slot = 0;

/// A source operand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Src {
    Reg(Slot),
    Imm(u64),
    /// Static shared memory of the executing CTA.
    Shared(u32),
    /// Dynamic shared memory of the executing CTA.
    Dynamic(u32),
    /// A module variable in global memory: index and offset.
    Global(u32, u64),
}

impl Src {
    /// The word of a 128-bit operand, which is a register.
    pub fn word(self, index: usize) -> Src {
        match self {
            Src::Reg(slot) => Src::Reg(slot + index as Slot),
            other => other,
        }
    }
}

/// Which threads must execute an instruction together.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Collective {
    None,
    /// All threads of the warp that have not exited (`.aligned`).
    Warp,
    /// All threads of a member mask.
    Members(Src),
}

/// The meaning of one instruction.
pub(crate) trait Execute: Send + Sync {
    /// Acts for the threads in `step.mask`.
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind>;

    /// Who must arrive together.
    fn collective(&self) -> Collective {
        Collective::None
    }

    /// What it does with undefined values, unless its opcode is strict.
    fn taint(&self) -> Taint {
        Taint::Lanewise
    }

    /// Turns label ids into instruction indices, once all are known.
    fn resolve(&mut self, _places: &[u32]) {}

    /// True if this instruction lets clusters wait for each other through global memory, so that they must take turns.
    fn couples_clusters(&self) -> bool {
        false
    }

    /// What is not implemented of it with the operands that are constants, so that it is refused before anything runs.
    fn refusal(&self, _constant: &dyn Fn(Src) -> Option<u64>) -> Option<&'static str> {
        None
    }

    /// True if this instruction keeps clusters from starting.
    fn cancels_clusters(&self) -> bool {
        false
    }
}

/// A decoded operation.
pub(crate) type Op = Box<dyn Execute>;

/// One decoded instruction.
pub(crate) struct Instruction {
    pub line: u32,
    /// Predicate register and the value it must have.
    pub guard: Option<(Slot, bool)>,
    pub op: Op,
    pub operands: Operands,
    pub taint: Taint,
    pub role: Role,
}

/// What an instruction is to operations that keep registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Plain,
    /// `mov`: compilers rename accumulators in flight, and ptxas inserts the wait (its message C7517).
    Move,
    /// A wgmma: it may follow others on the same registers.
    Warpgroup,
}

/// The registers of an instruction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Operands {
    pub reads: Vec<Slot>,
    /// Read as addresses.
    pub addresses: Vec<Slot>,
    pub writes: Vec<Slot>,
}

/// What a byte of a result depends on: registers, and a mask of their bytes.
pub(crate) type Byte = Vec<(Slot, u8)>;

/// What an instruction does with undefined values.
#[derive(Clone, Debug)]
pub(crate) enum Taint {
    /// A lane's results are undefined if one of its operands is.
    Lanewise,
    /// Only the selected operand counts: a if p, else b.
    Select {
        a: Src,
        b: Src,
        p: Src,
        negated: bool,
    },
    /// A result is defined where a or b is and decides it alone, by being this value. Bytewise: a byte of it depends on that
    /// byte of the operands.
    Absorbing {
        a: Src,
        b: Src,
        value: u64,
        bytewise: bool,
    },
    /// Each result is put together from bytes of operands, or of nothing that could be undefined: compilers build vectors
    /// with parts that nobody will look at.
    Bytes(Vec<(Slot, Vec<Byte>)>),
    /// Operands must be defined, results are.
    Strict,
    /// The instruction says itself, when it executes.
    Own,
}

/// The opcodes whose operands decide something.
fn is_strict(opcode: &str) -> bool {
    matches!(
        opcode,
        "atom"
            | "red"
            | "bar"
            | "barrier"
            | "mbarrier"
            | "cp"
            | "brx"
            | "tensormap"
            | "tcgen05"
            | "wgmma"
    )
}

/// Decodes one instruction by handing it to its family.
fn decode_instruction(f: &mut Form<'_>) -> Result<Op, LoadError> {
    match f.opcode() {
        "add" | "sub" | "mul" | "mad" | "fma" | "div" | "rem" | "abs" | "neg" | "min" | "max"
        | "sad" | "mul24" | "mad24" | "addc" | "subc" | "madc" | "dp4a" | "dp2a" => {
            integer::decode(f)
        }
        "rcp" | "sqrt" | "rsqrt" | "sin" | "cos" | "lg2" | "ex2" | "tanh" | "copysign"
        | "testp" => float::decode(f),
        "and" | "or" | "xor" | "not" | "cnot" | "lop3" | "shl" | "shr" | "shf" | "prmt" | "bfe"
        | "bfi" | "popc" | "clz" | "bfind" | "brev" | "fns" | "bmsk" | "szext" => bits::decode(f),
        "setp" | "set" | "selp" | "slct" => compare::decode(f),
        "cvt" => convert::decode(f),
        "mov" | "cvta" | "isspacep" | "mapa" | "getctarank" => movement::decode(f),
        "ld" | "ldu" | "st" | "prefetch" | "prefetchu" | "createpolicy" | "applypriority"
        | "discard" => memory::decode(f),
        "atom" | "red" => atomic::decode(f),
        "bra" | "brx" | "ret" | "exit" | "trap" | "nanosleep" | "setmaxnreg" | "brkpt"
        | "pmevent" => control::decode(f),
        "shfl" | "vote" | "match" | "elect" | "activemask" | "redux" => warp::decode(f),
        "bar" | "barrier" => barrier::decode(f),
        "mbarrier" => mbarrier::decode(f),
        "fence" | "membar" | "griddepcontrol" => fence::decode(f),
        "cp" => copy::decode(f),
        "tensormap" => tensormap::decode(f),
        "ldmatrix" | "stmatrix" | "movmatrix" => matrix::decode(f),
        "mma" => mma::decode(f),
        "wmma" => wmma::decode(f),
        "tcgen05" => tcgen05::decode(f),
        "wgmma" => wgmma::decode(f),
        "vadd" | "vsub" | "vabsdiff" | "vmin" | "vmax" | "vshl" | "vshr" | "vmad" | "vset"
        | "vadd2" | "vsub2" | "vavrg2" | "vabsdiff2" | "vmin2" | "vmax2" | "vset2" | "vadd4"
        | "vsub4" | "vavrg4" | "vabsdiff4" | "vmin4" | "vmax4" | "vset4" => video::decode(f),
        "alloca" | "stacksave" | "stackrestore" => stack::decode(f),
        "clusterlaunchcontrol" => cancel::decode(f),
        _ => Err(f.unsupported("unknown instruction")),
    }
}
