//! Launches.

use std::sync::Arc;

use crate::context;
use crate::driver::driver;
use crate::error::{Error, Outcome};
use crate::kernel::Function;
use crate::launch::{Arguments, Extras, Launch, Shape};
use crate::occupancy;
use crate::pointer::{Callback, Host, In};
use crate::stream::{self, Stream};
use crate::types::{CUfunction, CUstream, HostFn, LaunchConfig};
use crate::work::Work;

/// Checks a launch and puts it into its stream. When launches are not executed, this allocates and locks nothing.
#[inline]
fn launch(
    function: CUfunction,
    stream: CUstream,
    null: CUstream,
    shape: Shape,
    extras: Extras,
    arguments: Arguments,
) -> Outcome {
    let driver = driver()?;
    stream::with(stream, null, |stream| {
        function.with(|function| {
            check(function, stream, &shape)?;
            if driver.config.null && !stream.is_capturing() && extras.event.is_null() {
                return arguments.check(function.entry());
            }
            enqueue(function, stream, shape, extras, arguments)
        })?
    })
}

#[inline]
fn check(function: &Function, stream: &Stream, shape: &Shape) -> Outcome {
    if function
        .context
        .is_some_and(|context| context != stream.context)
    {
        return Err(Error::INVALID_HANDLE);
    }
    shape.check(function)?;
    if shape.cooperative {
        check_cooperative(function, shape)?;
    }
    Ok(())
}

/// All blocks of a cooperative launch must be resident at once.
fn check_cooperative(function: &Function, shape: &Shape) -> Outcome {
    let threads = shape.block.iter().product::<u32>() as i32;
    let each = occupancy::blocks_per_sm(function, threads, shape.shared as usize)?;
    if shape.blocks() > each as u64 * driver()?.config.sm_count as u64 {
        return Err(Error::COOPERATIVE_LAUNCH_TOO_LARGE);
    }
    Ok(())
}

fn enqueue(
    function: &Arc<Function>,
    stream: &Arc<Stream>,
    shape: Shape,
    extras: Extras,
    arguments: Arguments,
) -> Outcome {
    let params = arguments.read(function.entry())?;
    let event = if extras.event.is_null() {
        None
    } else {
        Some(extras.event.get()?)
    };
    let launch = Launch {
        function: function.clone(),
        handle: function.handle(),
        shape,
        extras,
        params,
    };
    stream::submit(stream, Work::Kernel(Arc::new(launch)))?;
    event.map_or(Ok(()), |event| event.record(stream))
}

fn host_function(stream: CUstream, null: CUstream, function: HostFn, data: Host) -> Outcome {
    let callback = Callback::new(function, data)?;
    let stream = stream::resolve(stream, null)?;
    stream::submit(&stream, Work::Host(callback))
}

abi! { STREAM_SYMBOLS |null|:
    fn cuLaunchKernel / cuLaunchKernel_ptsz(
        function: CUfunction,
        grid_x: u32,
        grid_y: u32,
        grid_z: u32,
        block_x: u32,
        block_y: u32,
        block_z: u32,
        shared: u32,
        stream: CUstream,
        params: In<Host>,
        extra: In<usize>,
    ) = "cuLaunchKernel" since 4000 {
        let shape = Shape {
            grid: [grid_x, grid_y, grid_z],
            block: [block_x, block_y, block_z],
            shared,
            cluster: [0; 3],
            cooperative: false,
        };
        launch(function, stream, null, shape, Extras::NONE, Arguments { each: params, packed: extra })
    }

    fn cuLaunchKernelEx / cuLaunchKernelEx_ptsz(config: In<LaunchConfig>, function: CUfunction, params: In<Host>, extra: In<usize>) = "cuLaunchKernelEx" since 11060 {
        let config = config.get()?;
        let mut shape = Shape {
            grid: config.grid,
            block: config.block,
            shared: config.shared,
            cluster: [0; 3],
            cooperative: false,
        };
        let extras = shape.apply(config.attributes, config.attribute_count)?;
        launch(function, config.stream, null, shape, extras, Arguments { each: params, packed: extra })
    }

    fn cuLaunchCooperativeKernel / cuLaunchCooperativeKernel_ptsz(
        function: CUfunction,
        grid_x: u32,
        grid_y: u32,
        grid_z: u32,
        block_x: u32,
        block_y: u32,
        block_z: u32,
        shared: u32,
        stream: CUstream,
        params: In<Host>,
    ) = "cuLaunchCooperativeKernel" since 9000 {
        let shape = Shape {
            grid: [grid_x, grid_y, grid_z],
            block: [block_x, block_y, block_z],
            shared,
            cluster: [0; 3],
            cooperative: true,
        };
        launch(function, stream, null, shape, Extras::NONE, Arguments { each: params, packed: In::NULL })
    }

    fn cuLaunchHostFunc / cuLaunchHostFunc_ptsz(stream: CUstream, function: HostFn, data: Host) = "cuLaunchHostFunc" since 10000 {
        context::current()?;
        host_function(stream, null, function, data)
    }

    fn cuLaunchHostFunc_v2 / cuLaunchHostFunc_v2_ptsz(stream: CUstream, function: HostFn, data: Host, mode: u32) = "cuLaunchHostFunc" since 13010 {
        if mode > 1 {
            return Err(Error::INVALID_VALUE);
        }
        host_function(stream, null, function, data)
    }
}
