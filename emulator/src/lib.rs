//! A functional emulator of PTX for Blackwell and Hopper GPUs.
//!
//! It reads PTX as a stranger would, executes it thread by thread under a chosen [`Schedule`], and names every way in
//! which a kernel can be wrong ([`Fault`]). What it does not implement it refuses when the module is loaded.
//!
//! ```
//! use ptx_emulator::{Device, DeviceConfig, Launch, Module, Schedule};
//!
//! let text = ".version 8.7\n.target sm_100a\n.address_size 64\n
//!     .visible .entry twice(.param .u64 p) {
//!         .reg .b32 %r<3>; .reg .b64 %rd<3>;
//!         ld.param.u64 %rd0, [p];
//!         mov.u32 %r0, %tid.x;
//!         mul.wide.u32 %rd1, %r0, 4;
//!         add.s64 %rd0, %rd0, %rd1;
//!         ld.global.u32 %r1, [%rd0];
//!         shl.b32 %r1, %r1, 1;
//!         st.global.u32 [%rd0], %r1;
//!         ret;
//!     }";
//! let module = Module::load("twice.ptx", text)?;
//! let mut device = Device::new(DeviceConfig::default());
//! let address = device.allocate("data", 8, 0);
//! device.write(address, &[1, 0, 0, 0, 7, 0, 0, 0])?;
//! let launch = Launch {
//!     entry: "twice".into(),
//!     grid: [1, 1, 1],
//!     block: [2, 1, 1],
//!     cluster: [1, 1, 1],
//!     dynamic_shared: 0,
//!     params: address.to_le_bytes().to_vec(),
//!     programmatic: false,
//! };
//! device.launch(&module, &launch, Schedule::Eager)?;
//! assert_eq!(device.read(address, 8)?, [2, 0, 0, 0, 14, 0, 0, 0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
pub mod engine;
mod error;
mod isa;
mod machine;
mod ptx;
#[cfg(feature = "cli")]
pub mod recipe;

pub use check::{Conflict, Undefined};
pub use engine::tensor_map::TensorMap;
pub use error::{LoadError, LoadErrorKind};
pub use machine::{
    Checks, Counts, Device, DeviceConfig, Fault, FaultKind, Launch, Misuse, Module, Parameter,
    Report, Rule, Schedule, Site, Stop, Stopped,
};
pub use ptx::Position;
