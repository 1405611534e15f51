//! The CUDA driver's ABI over the PTX emulator: built as `libcuda.so`, loadable as `libcuda.so.1`.
//!
//! ```text
//! api/*         one exported function each: arguments checked, handles resolved     (the C surface)
//! context  stream  event  capture  graph  module  memory      the objects behind the handles
//! queue         what is enqueued, and in which order it runs
//! machine       the emulator: memory, module loading, launches
//! pointer       every raw pointer of a caller is read or written here, and nowhere else
//! ```
//!
//! `README.md` lists what is emulated, the environment variables, and what is not.

// A C ABI cannot be had without it: exported names, callers' pointers, callers' call-backs.
#![allow(unsafe_code)]

#[macro_use]
mod abi;

mod api;
mod attributes;
mod capture;
mod config;
mod context;
mod copy;
mod driver;
mod error;
mod event;
mod fatbin;
mod graph;
mod graph_exec;
mod image;
mod inject;
mod kernel;
mod launch;
mod live;
mod machine;
mod memory;
mod memory_pool;
mod module;
mod object;
mod occupancy;
mod outline;
mod pointer;
mod queue;
mod stream;
mod types;
mod work;
