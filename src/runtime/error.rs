//! What can go wrong between a library on disk and a launch on a GPU.

use std::fmt;

use super::driver::CallError;
use super::missing::Missing;
use crate::artifact::{Operand, StoreError};

/// Why something was not done. Every message says what to do.
#[derive(Debug)]
pub enum Error {
    /// There is no libcuda.
    NoDriver,
    /// The driver lacks a function that every launch needs.
    OldDriver {
        /// The function.
        lacks: &'static str,
    },
    /// The driver finds no GPU.
    NoDevice(CallError),
    /// There are GPUs, but not this one.
    NoSuchDevice {
        /// What was asked for.
        ordinal: u32,
        /// How many there are.
        count: u32,
    },
    /// The library cannot be read.
    Library(StoreError),
    /// The library was replaced after it had been opened.
    Rebuilt {
        /// The kernel that was to be loaded.
        key: String,
    },
    /// The library has no such kernel.
    Missing(Box<Missing>),
    /// The kernel is for another architecture.
    Architecture {
        /// The shape key.
        key: String,
        /// What the library has it for.
        targets: Vec<String>,
        /// What the device is.
        capability: (u32, u32),
    },
    /// CTAs that wait for each other do not all fit on the device.
    Multiprocessors {
        /// The shape key.
        key: String,
        /// SMs that must be there.
        needs: u32,
        /// SMs that are.
        has: u32,
    },
    /// A CTA needs more shared memory than the device gives.
    SharedMemory {
        /// The shape key.
        key: String,
        /// Bytes per CTA.
        needs: u32,
        /// Bytes that a CTA can have.
        has: u32,
    },
    /// The driver does not know this PTX version yet.
    PtxVersion {
        /// The shape key.
        key: String,
        /// The `.version` of the PTX.
        version: String,
        /// The CUDA version it came with, such as 12080.
        needs: u32,
        /// The driver's CUDA version.
        has: u32,
    },
    /// The driver does not take so many bytes of kernel parameters.
    ParameterBytes {
        /// The shape key.
        key: String,
        /// Bytes of the parameter block.
        bytes: u32,
        /// The driver's CUDA version.
        has: u32,
    },
    /// The driver refused the kernel's text.
    Jit {
        /// The shape key.
        key: String,
        /// What it returned.
        error: CallError,
        /// Its error log.
        log: String,
    },
    /// Kernel and manifest contradict each other, or the manifest itself.
    Inconsistent {
        /// The shape key.
        key: String,
        /// In what.
        reason: String,
    },
    /// The number of groups is not the kernel's.
    Groups {
        /// The kernel's.
        expected: usize,
        /// The caller's.
        given: usize,
    },
    /// An address is null, in a group that has tokens.
    Null {
        /// Index of the group.
        group: u32,
        /// The operand.
        operand: Operand,
    },
    /// An address is not a multiple of 16.
    Misaligned {
        /// Index of the group.
        group: u32,
        /// The operand.
        operand: Operand,
        /// The address.
        address: u64,
    },
    /// Two groups would write the same output.
    SameOutput {
        /// Indices of two such groups.
        groups: (u32, u32),
        /// The address.
        address: u64,
    },
    /// A launch without addresses, or whose last `bind` failed.
    Unbound,
    /// The kernel does not wait for the one before it, so that it must not be started early.
    NotProgrammatic {
        /// The shape key.
        key: String,
    },
    /// A stream capture that did not record exactly this one kernel.
    Capture(&'static str),
    /// A graph is given a launch of another kernel.
    OtherKernel {
        /// The graph's.
        expected: String,
        /// The launch's.
        given: String,
    },
    /// A copy of a length that the buffer does not have.
    Length {
        /// Bytes of the buffer.
        buffer: usize,
        /// Bytes given.
        given: usize,
    },
    /// A driver call failed.
    Call(CallError),
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        Error::Call(error)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Error::Library(error)
    }
}

/// `12080` as `12.8`.
pub(super) struct Cuda(pub u32);

impl fmt::Display for Cuda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 1000, self.0 % 1000 / 10)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDriver => f.write_str(
                "there is no NVIDIA driver: libcuda.so could not be loaded; install the driver, or put the emulated \
                 one on LD_LIBRARY_PATH",
            ),
            Self::OldDriver { lacks } => write!(
                f,
                "the NVIDIA driver is too old: it has no {lacks}; install one of CUDA 12.1 or later"
            ),
            Self::NoDevice(error) => write!(
                f,
                "the NVIDIA driver finds no GPU: {error}; look at nvidia-smi and CUDA_VISIBLE_DEVICES"
            ),
            Self::NoSuchDevice { ordinal, count } => write!(
                f,
                "there is no device {ordinal}: the driver has {count}, counted from 0; look at CUDA_VISIBLE_DEVICES"
            ),
            Self::Library(error) => error.fmt(f),
            Self::Rebuilt { key } => write!(
                f,
                "{key}: the library was rebuilt after it had been opened; open it again"
            ),
            Self::Missing(missing) => missing.fmt(f),
            Self::Architecture { .. }
            | Self::Multiprocessors { .. }
            | Self::SharedMemory { .. }
            | Self::PtxVersion { .. }
            | Self::ParameterBytes { .. } => self.unfit(f),
            Self::Jit { key, error, log } => write!(
                f,
                "{key}: the driver does not take this kernel: {error}; update the driver or build again; its log:\n{log}"
            ),
            Self::Inconsistent { key, reason } => {
                write!(f, "{key}: {reason}; run `nvfp4gen build` again")
            }
            Self::Unbound => f.write_str("this launch has no addresses: call bind first, and heed its errors"),
            Self::NotProgrammatic { key } => write!(
                f,
                "{key}: this kernel has no griddepcontrol.wait: started early, it could read what is still being \
                 written; launch it without programmatic dependence"
            ),
            Self::Capture(reason) => f.write_str(reason),
            Self::OtherKernel { expected, given } => write!(
                f,
                "the graph launches {expected} and was given a launch of {given}; record a graph of its own"
            ),
            Self::Length { buffer, given } => write!(
                f,
                "the buffer has {buffer} bytes and was given {given}; they must be equal"
            ),
            Self::Call(error) => error.fmt(f),
            Self::Groups { .. }
            | Self::Null { .. }
            | Self::Misaligned { .. }
            | Self::SameOutput { .. } => self.bad_pointers(f),
        }
    }
}

impl Error {
    /// A device or a driver that cannot run the kernel.
    fn unfit(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Architecture {
                key,
                targets,
                capability: (major, minor),
            } => write!(
                f,
                "{key}: the library has it for {}, and the device is of compute capability {major}.{minor}; build it \
                 with --target sm_{major}{minor}a if that is a target, or choose another device",
                targets.join(" and ")
            ),
            Self::Multiprocessors { key, needs, has } => write!(
                f,
                "{key}: its CTAs wait for each other and need {needs} SMs at the same time, the device has {has}; \
                 build it for this part, or use a whole one"
            ),
            Self::SharedMemory { key, needs, has } => write!(
                f,
                "{key}: a CTA needs {needs} bytes of shared memory, the device gives {has}; build it for this part"
            ),
            Self::PtxVersion {
                key,
                version,
                needs,
                has,
            } => write!(
                f,
                "{key}: PTX {version} needs a driver of CUDA {}, and this one is of CUDA {}; update the driver, or \
                 build where ptxas is found, so that the library has a cubin",
                Cuda(*needs),
                Cuda(*has)
            ),
            Self::ParameterBytes { key, bytes, has } => write!(
                f,
                "{key}: {bytes} bytes of parameters need a driver of CUDA 12.1 (before: 4,096 bytes), and this one is \
                 of CUDA {}; update the driver or split the set",
                Cuda(*has)
            ),
            _ => Ok(()),
        }
    }

    /// What `bind` refuses.
    fn bad_pointers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Groups { expected, given } => write!(
                f,
                "the kernel has {expected} groups and was given the addresses of {given}; empty groups have a place too"
            ),
            Self::Null { group, operand } => write!(
                f,
                "group {group}: the address of {operand:?} is null; only groups without tokens may have null"
            ),
            Self::Misaligned {
                group,
                operand,
                address,
            } => write!(
                f,
                "group {group}: the address of {operand:?}, {address:#x}, is not a multiple of 16; allocate or slice so \
                 that it is"
            ),
            Self::SameOutput {
                groups: (first, second),
                address,
            } => write!(
                f,
                "groups {first} and {second} have the same output {address:#x}; each needs its own"
            ),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Library(error) => error.source(),
            _ => None,
        }
    }
}

impl std::error::Error for CallError {}
