//! What the emulated device says of itself.

use crate::config::Config;
use crate::error::Error;

/// Limits that depend on the compute capability (CUDA programming guide, technical specifications).
pub(crate) struct Limits {
    /// Shared memory of one block, opted in for.
    pub shared_optin: i32,
    /// Shared memory of one SM.
    pub shared_per_sm: i32,
    pub threads_per_sm: i32,
    pub blocks_per_sm: i32,
    pub max_cluster: u32,
    pub l2_bytes: i32,
    pub clock_khz: i32,
    pub memory_clock_khz: i32,
    pub bus_bits: i32,
}

impl Limits {
    /// Shared memory of one block without opting in.
    pub(crate) const SHARED_DEFAULT: i32 = 48 << 10;
    /// Shared memory that the system keeps of each block's.
    pub(crate) const SHARED_RESERVED: i32 = 1 << 10;
    /// Registers of a block, and of an SM.
    pub(crate) const REGISTERS: i32 = 65536;
    /// Blocks of a cluster without opting in.
    pub(crate) const PORTABLE_CLUSTER: u32 = 8;
    /// Bytes of kernel parameters, from CUDA 12.1 and PTX 8.1 on (PTX ISA, kernel function parameters).
    pub(crate) const PARAMETERS: usize = 32764;
    /// The same before.
    pub(crate) const PARAMETERS_BEFORE: usize = 4352;

    pub(crate) fn of(config: &Config) -> Self {
        match config.capability.0 {
            12 => Limits {
                shared_optin: 99 << 10,
                shared_per_sm: 100 << 10,
                threads_per_sm: 1536,
                blocks_per_sm: 24,
                max_cluster: 8,
                l2_bytes: 96 << 20,
                clock_khz: 2_407_000,
                memory_clock_khz: 14_001_000,
                bus_bits: 512,
            },
            9 => Limits {
                l2_bytes: 50 << 20,
                clock_khz: 1_980_000,
                memory_clock_khz: 2_619_000,
                bus_bits: 5120,
                ..Self::large()
            },
            _ => Self::large(),
        }
    }

    fn large() -> Self {
        Limits {
            shared_optin: 227 << 10,
            shared_per_sm: 228 << 10,
            threads_per_sm: 2048,
            blocks_per_sm: 32,
            max_cluster: 16,
            l2_bytes: 126 << 20,
            clock_khz: 1_965_000,
            memory_clock_khz: 3_996_000,
            bus_bits: 8192,
        }
    }
}

/// The device's name.
pub(crate) fn name(config: &Config) -> String {
    let (major, minor) = config.capability;
    format!("PTX emulator sm_{major}{minor}")
}

/// The device's UUID: the same for the same kind of device.
pub(crate) fn uuid(config: &Config) -> [u8; 16] {
    let mut uuid = *b"ptx-emulator\0\0\0\0";
    uuid[12] = config.capability.0 as u8;
    uuid[13] = config.capability.1 as u8;
    uuid[14..].copy_from_slice(&(config.sm_count as u16).to_be_bytes());
    uuid
}

/// `cuDeviceGetAttribute`.
pub(crate) fn device(config: &Config, attribute: u32) -> Result<i32, Error> {
    let limits = Limits::of(config);
    Ok(match attribute {
        1..=3 => 1024,
        4 => 64,
        5 => i32::MAX,
        6 | 7 => 65535,
        8 => Limits::SHARED_DEFAULT,
        9 => 64 << 10,
        10 => 32,
        11 => i32::MAX,
        12 | 82 => Limits::REGISTERS,
        13 => limits.clock_khz,
        14 | 30 => 512,
        16 => config.sm_count,
        36 => limits.memory_clock_khz,
        37 => limits.bus_bits,
        38 => limits.l2_bytes,
        39 => limits.threads_per_sm,
        40 => 3,
        51 => 32,
        75 => config.capability.0,
        76 => config.capability.1,
        81 => limits.shared_per_sm,
        87 => 2,
        97 => limits.shared_optin,
        106 => limits.blocks_per_sm,
        108 => limits.l2_bytes / 2,
        109 => 128 << 20,
        111 => Limits::SHARED_RESERVED,
        // Present: overlap, kernels side by side, unified addressing, stream priorities, caches, preemption,
        // cooperative launches, registration of host memory, pools, clusters, tensor maps.
        15 | 31 | 41 | 78 | 79 | 80 | 90 | 95 | 99 | 115 | 120 | 127 => 1,
        126 => 4,
        131 | 134 => -1,
        33 => 1,
        // Everything else is a feature that is not emulated, or a texture limit.
        17..=161 => 0,
        _ => return Err(Error::INVALID_VALUE),
    })
}
