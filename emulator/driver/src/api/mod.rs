//! The exported functions, one file per part of the CUDA driver API.

mod context;
mod device;
mod event;
mod function;
mod graph;
mod graph_exec;
mod graph_node;
mod init;
mod launch;
mod library;
mod memcpy;
mod memory;
mod memset;
mod module;
mod occupancy;
mod pointer;
mod pool;
mod stream;
mod stream_capture;
mod tensor_map;

use crate::abi::Symbol;

/// Everything that is exported, for `cuGetProcAddress`.
pub(crate) fn symbols() -> impl Iterator<Item = &'static Symbol> {
    const ALL: &[&[Symbol]] = &[
        context::SYMBOLS,
        device::SYMBOLS,
        event::SYMBOLS,
        event::STREAM_SYMBOLS,
        function::SYMBOLS,
        graph::SYMBOLS,
        graph_exec::SYMBOLS,
        graph_exec::STREAM_SYMBOLS,
        graph_node::SYMBOLS,
        init::SYMBOLS,
        launch::STREAM_SYMBOLS,
        library::SYMBOLS,
        memcpy::STREAM_SYMBOLS,
        memory::SYMBOLS,
        memset::STREAM_SYMBOLS,
        module::SYMBOLS,
        occupancy::SYMBOLS,
        pointer::SYMBOLS,
        pool::SYMBOLS,
        pool::STREAM_SYMBOLS,
        stream::SYMBOLS,
        stream::STREAM_SYMBOLS,
        stream_capture::SYMBOLS,
        stream_capture::STREAM_SYMBOLS,
        tensor_map::SYMBOLS,
    ];
    ALL.iter().flat_map(|list| list.iter())
}

/// Device 0 is the only one.
pub(crate) fn check_device(
    device: i32,
) -> Result<&'static crate::driver::Driver, crate::error::Error> {
    let driver = crate::driver::driver()?;
    if device != 0 {
        return Err(crate::error::Error::INVALID_DEVICE);
    }
    Ok(driver)
}
