//! The run-time library as a C ABI: `include/nvfp4gen.h` says the same in C, `examples/launch.c` uses it.
//!
//! Handles are made by functions that take an `out` and are given back by the function of their kind; a null handle is
//! given back without effect. Nothing here panics across the border.

// A C ABI cannot be had without it: exported names, callers' pointers.
#![allow(unsafe_code)]

mod border;
mod graph;
mod handles;
mod launch;

pub use border::{Status, nvfp4gen_error, nvfp4gen_version};
pub use graph::{
    GraphHandle, nvfp4gen_graph_record, nvfp4gen_graph_release, nvfp4gen_graph_replay,
    nvfp4gen_graph_update,
};
pub use handles::{
    DeviceHandle, KernelHandle, LibraryHandle, nvfp4gen_device_close, nvfp4gen_device_make_current,
    nvfp4gen_device_open, nvfp4gen_kernel_groups, nvfp4gen_kernel_load, nvfp4gen_kernel_sizes,
    nvfp4gen_kernel_unload, nvfp4gen_library_close, nvfp4gen_library_key, nvfp4gen_library_open,
};
pub use launch::{
    LaunchHandle, nvfp4gen_launch_bind, nvfp4gen_launch_enqueue, nvfp4gen_launch_prepare,
    nvfp4gen_launch_release, nvfp4gen_launch_run, nvfp4gen_launch_set_programmatic,
};
