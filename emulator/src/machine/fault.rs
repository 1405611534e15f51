//! Every way a launch can stop. A [`Fault`] says that the kernel is wrong, [`Stop::Unsupported`] that the emulator
//! cannot, [`Stop::Usage`] that the caller asked for something impossible.

use std::fmt;

use super::misuse::{Misuse, Rule};
use crate::check::{Conflict, Undefined};
use crate::engine;
use crate::engine::descriptor::DescriptorError;

/// Where something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Line of the PTX text.
    pub line: u32,
    /// `%ctaid`.
    pub cta: [u32; 3],
    /// Warp in the CTA.
    pub warp: u32,
    /// Lane in the warp, where one can be named.
    pub lane: Option<u32>,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x, y, z] = self.cta;
        write!(
            f,
            "line {}, CTA ({x},{y},{z}), warp {}",
            self.line, self.warp
        )?;
        self.lane.map_or(Ok(()), |lane| write!(f, ", lane {lane}"))
    }
}

/// What a kernel did wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// An access outside of what exists in its space. The text names the nearest thing that does exist.
    OutOfBounds {
        /// State space.
        space: &'static str,
        /// Address as the instruction has it (its offset in the space for shared, local, constant and parameter memory).
        address: u64,
        /// Bytes of the access.
        bytes: u64,
        /// The nearest allocation or the limits.
        near: String,
    },
    /// An address that is no multiple of the access size or of what the instruction asks for.
    Misaligned {
        /// State space.
        space: &'static str,
        /// Address.
        address: u64,
        /// Needed alignment in bytes.
        needed: u64,
    },
    /// An operand whose value the instruction forbids.
    Operand(String),
    /// An operand of the tensor core or of a copy unit, or an access to tensor memory, that breaks a rule.
    Illegal(Rule, String),
    /// A collective instruction executed by part of its threads.
    Divergence(String),
    /// Misuse of an mbarrier.
    Mbarrier(Misuse, String),
    /// Misuse of a named barrier or of the cluster barrier.
    Barrier(String),
    /// Tensor memory that was never deallocated.
    TensorMemoryLeak(String),
    /// Nothing can run. Each text is one waiting group of threads, what it waits for, and the state of that.
    Deadlock(Vec<String>),
    /// A CTA exits while asynchronous operations that it issued, or that touch it, are still in flight.
    InFlight(String),
    /// An access to the shared memory of a CTA of the cluster that has exited.
    PeerExited(String),
    /// An access to the shared memory of a CTA of the cluster that is not known to have started.
    PeerNotStarted(String),
    /// The register of a `wgmma` was written (at the named site) without `wgmma.fence` between the two.
    MissingWgmmaFence(Box<Site>),
    /// A barrier waits for bytes that nothing in flight will bring, or has received more than it expects.
    ExpectTx(String),
    /// Two accesses of which one writes, and nothing orders them. The site is the later party.
    Race(Box<Conflict>),
    /// A launch that may start early touches, before `griddepcontrol.wait`, what the numbered launch of its sequence
    /// also touches, and one of the two writes. The site belongs to whichever of the two came later.
    LaunchDependency {
        /// Both parties.
        conflict: Box<Conflict>,
        /// Number in the sequence of the launch that the other party belongs to.
        launch: usize,
    },
    /// Ordered, but the asynchronous proxy need not see what was written before without `fence.proxy.async`.
    MissingProxyFence(Box<Conflict>),
    /// Ordered, but by an arrival that does not wait for a read: the asynchronous proxy may write before it has ended.
    UnfinishedRead(Box<Conflict>),
    /// A `tcgen05.ld` or `tcgen05.st` may still be running: `tcgen05.wait` is missing.
    MissingTensorWait(Box<Conflict>),
    /// Synchronised, but without the `tcgen05.fence` that makes tensor operations follow.
    MissingTensorFence(Box<Conflict>),
    /// The initialisation of an mbarrier is not visible there: `fence.mbarrier_init` is missing.
    MissingMbarrierFence(Box<Conflict>),
    /// The result register of a `tcgen05.ld` (at the named site) is written before `tcgen05.wait::ld`.
    RegisterInFlight(Box<Site>),
    /// A register of a `wgmma` (at the named site) is touched before `wgmma.wait_group`.
    WarpgroupInFlight(Box<Site>),
    /// An undefined value has reached a result.
    UninitialisedRead(Box<Undefined>),
    /// The program executed `trap`.
    Trap,
    /// More instructions than the device's limit.
    InstructionLimit(u64),
    /// Not the kernel's fault: the emulator lacks this. Reported as [`Stop::Unsupported`].
    Unsupported(String),
}

impl FaultKind {
    /// The stable name of the kind, for tools.
    pub fn name(&self) -> &'static str {
        match self {
            FaultKind::OutOfBounds { .. } => "out-of-bounds",
            FaultKind::Misaligned { .. } => "misaligned",
            FaultKind::Operand(_) => "illegal-operand",
            FaultKind::Illegal(rule, _) => rule.name(),
            FaultKind::Divergence(_) => "divergence",
            FaultKind::Mbarrier(misuse, _) => misuse.name(),
            FaultKind::Barrier(_) => "barrier-misuse",
            FaultKind::TensorMemoryLeak(_) => "tensor-memory-leak",
            FaultKind::Deadlock(_) => "deadlock",
            FaultKind::InFlight(_) => "exit-in-flight",
            FaultKind::PeerExited(_) => "exit-while-peer-accesses",
            FaultKind::PeerNotStarted(_) => "peer-not-started",
            FaultKind::MissingWgmmaFence(_) => "missing-wgmma-fence",
            FaultKind::ExpectTx(_) => "expect-tx-mismatch",
            FaultKind::Race(c) => match c.space {
                "shared" => "race-shared",
                "tensor" => "race-tensor",
                _ => "race-global",
            },
            FaultKind::LaunchDependency { .. } => "launch-dependency",
            FaultKind::MissingProxyFence(_) => "missing-proxy-fence",
            FaultKind::UnfinishedRead(_) => "unfinished-read",
            FaultKind::MissingTensorWait(_) => "missing-tensor-wait",
            FaultKind::MissingTensorFence(_) => "missing-tensor-fence",
            FaultKind::MissingMbarrierFence(_) => "missing-mbarrier-fence",
            FaultKind::RegisterInFlight(_) => "missing-tensor-wait",
            FaultKind::WarpgroupInFlight(_) => "wgmma-in-flight",
            FaultKind::UninitialisedRead(_) => "uninitialised-read",
            FaultKind::Trap => "trap",
            FaultKind::InstructionLimit(_) => "instruction-limit",
            FaultKind::Unsupported(_) => "unsupported",
        }
    }

    /// Counts launches from an earlier one on.
    pub(crate) fn renumber(&mut self, by: usize) {
        if let FaultKind::LaunchDependency { launch, .. } = self {
            *launch += by;
        }
    }

    pub(crate) fn operand(lane: usize, what: impl Into<String>) -> Self {
        FaultKind::Operand(format!("lane {lane}: {}", what.into()))
    }

    /// A refusal on a target: sm_103a has what the engine has not.
    pub(crate) fn engine_on(error: engine::Error, target: &str) -> Self {
        match &error {
            engine::Error::Descriptor(DescriptorError::OnlySm103 { what, .. })
                if target.starts_with("sm_103") =>
            {
                FaultKind::Unsupported((*what).into())
            }
            _ => FaultKind::engine(error),
        }
    }

    pub(crate) fn engine(error: engine::Error) -> Self {
        if error.is_unsupported() {
            FaultKind::Unsupported(error.to_string())
        } else {
            FaultKind::Illegal(Rule::of(&error), error.to_string())
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaultKind::OutOfBounds {
                space,
                address,
                bytes,
                near,
            } => {
                write!(
                    f,
                    "{bytes} bytes at {space} address {address:#x} are out of bounds: {near}"
                )
            }
            FaultKind::Misaligned {
                space,
                address,
                needed,
            } => {
                write!(
                    f,
                    "{space} address {address:#x} is not a multiple of {needed}"
                )
            }
            FaultKind::Operand(what) => write!(f, "illegal operand: {what}"),
            FaultKind::Illegal(_, what) => write!(f, "illegal operation: {what}"),
            FaultKind::Divergence(what) => {
                write!(f, "collective instruction under divergence: {what}")
            }
            FaultKind::Mbarrier(_, what) => write!(f, "mbarrier misuse: {what}"),
            FaultKind::Barrier(what) => write!(f, "barrier misuse: {what}"),
            FaultKind::TensorMemoryLeak(what) => write!(f, "tensor memory leaked: {what}"),
            FaultKind::Deadlock(waiting) => {
                write!(f, "deadlock, nothing can run:")?;
                waiting.iter().try_for_each(|w| write!(f, "\n  {w}"))
            }
            FaultKind::InFlight(what) => {
                write!(f, "exit with asynchronous operations in flight: {what}")
            }
            FaultKind::PeerExited(what) => write!(f, "access to a CTA that has exited: {what}"),
            FaultKind::PeerNotStarted(what) => {
                write!(f, "access to a CTA that may not have started: {what}")
            }
            FaultKind::MissingWgmmaFence(other) => write!(
                f,
                "missing wgmma.fence: a register of this wgmma.mma_async was written at {other}"
            ),
            FaultKind::ExpectTx(what) => write!(f, "expect_tx does not match what arrives: {what}"),
            FaultKind::Race(c) => write!(f, "data race: {c}, and nothing orders them"),
            FaultKind::LaunchDependency { conflict, launch } => write!(
                f,
                "launch dependency: {conflict} of launch {launch}, without griddepcontrol.wait between the launches"
            ),
            FaultKind::MissingProxyFence(c) => write!(
                f,
                "missing proxy fence: {c}, without fence.proxy.async between them"
            ),
            FaultKind::UnfinishedRead(c) => write!(
                f,
                "unfinished read: {c}; what was read was not used, nor was there a fence.proxy.async, before the arrival that orders them"
            ),
            FaultKind::MissingTensorWait(c) => {
                write!(f, "missing tcgen05.wait: {c}, which may not be complete")
            }
            FaultKind::MissingTensorFence(c) => write!(
                f,
                "missing tcgen05.fence: {c}, synchronised without before_thread_sync and after_thread_sync"
            ),
            FaultKind::MissingMbarrierFence(c) => write!(
                f,
                "missing fence.mbarrier_init: {c}, without a fence or release that shows it"
            ),
            FaultKind::RegisterInFlight(other) => write!(
                f,
                "missing tcgen05.wait: a register is used that the tcgen05.ld at {other} may still fill"
            ),
            FaultKind::WarpgroupInFlight(other) => write!(
                f,
                "wgmma in flight: a register is touched that the wgmma.mma_async at {other} still uses"
            ),
            FaultKind::UninitialisedRead(what) => write!(f, "uninitialised read: {what}"),
            FaultKind::Trap => write!(f, "trap"),
            FaultKind::InstructionLimit(limit) => write!(
                f,
                "more than {limit} instructions in one cluster: endless loop?"
            ),
            FaultKind::Unsupported(what) => write!(f, "not supported by the emulator: {what}"),
        }
    }
}

/// A fault and where it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// Where.
    pub site: Site,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.site, self.kind)
    }
}

/// Why a launch did not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The kernel is wrong.
    Fault(Fault),
    /// The emulator lacks something that the kernel reached.
    Unsupported(Fault),
    /// The launch itself is impossible: unknown entry, bad sizes, wrong parameter block, memory that does not exist.
    Usage(String),
}

/// Why a sequence of launches did not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Number of the launch that stopped, from 0.
    pub launch: usize,
    /// Why.
    pub stop: Stop,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "launch {}: {}", self.launch, self.stop)
    }
}

impl std::error::Error for Stopped {}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        if matches!(fault.kind, FaultKind::Unsupported(_)) {
            Stop::Unsupported(fault)
        } else {
            Stop::Fault(fault)
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Fault(fault) => write!(f, "fault: {fault}"),
            Stop::Unsupported(fault) => write!(f, "unsupported: {fault}"),
            Stop::Usage(what) => write!(f, "usage: {what}"),
        }
    }
}

impl std::error::Error for Stop {}
