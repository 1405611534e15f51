//! Kernels on a GPU: loaded once by shape key, bound with five addresses a group, launched with one driver call.
//!
//! ```no_run
//! use nvfp4gen::runtime::{Device, Library, Pointers, Stream};
//! # fn main() -> Result<(), nvfp4gen::runtime::Error> {
//! let library = Library::open("generated")?; // manifests only, no GPU touched
//! let device = Device::new(0)?;
//! let kernel = library.load(&device, "g2_m192-320_n3072_k4096_f16_static")?; // once
//! let mut launch = kernel.prepare(); // owns its parameter block
//!
//! let stream = Stream::new(&device)?;
//! # let [a, b, sfa, sfb, c] = [0; 5];
//! // SAFETY: device memory of each group's sizes, alive until the work is done.
//! let groups = unsafe { [Pointers::new(a, b, sfa, sfb, c), Pointers::new(a, b, sfa, sfb, c)] };
//! launch.bind(&groups)?; // five stores a group
//! launch.enqueue(&stream)?; // one cuLaunchKernelEx
//! # Ok(())
//! # }
//! ```
//!
//! What each step costs is its contract. [`Library::load`] does everything that can be done beforehand: it verifies
//! hashes, loads the module, sets the function's attributes and has the driver encode every tensor map. [`Launch::bind`]
//! writes addresses at baked offsets; [`Launch::enqueue`] makes one driver call. These two allocate nothing, lock
//! nothing, copy nothing to the device and read no clock.
//!
//! A [`Kernel`] may be shared by threads; each thread prepares its own [`Launch`]. The driver copies the parameter block
//! in `enqueue`, so a launch may be bound to other addresses while its earlier work is still in flight.
//!
//! The driver is loaded at run time, so that programs build and start where there is none. Raw addresses and raw stream
//! handles enter through one `unsafe` constructor each, [`Pointers::new`] and [`Stream::from_raw`]: the GPU writes where
//! they lead, and on some machines that can be any memory of the process.

// The driver is a C interface: this is the only house that may call it.
#![allow(unsafe_code)]

pub mod bench;
mod block;
mod checks;
mod device;
mod driver;
mod error;
mod graph;
mod kernel;
mod launch;
mod library;
mod memory;
mod missing;
mod module;
mod pointers;
mod stream;
mod table;
mod tensor_map;
mod workspace;

pub use checks::Notice;
pub use device::{Device, Properties};
pub use driver::CallError;
pub use error::Error;
pub use graph::{Graph, Node};
pub use kernel::{Image, Kernel};
pub use launch::Launch;
pub use library::Library;
pub use memory::{Buffer, Event};
pub use missing::Missing;
pub use pointers::Pointers;
pub use stream::Stream;
