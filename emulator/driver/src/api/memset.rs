//! Fills.

use crate::capture;
use crate::copy::Fill;
use crate::error::Outcome;
use crate::stream;
use crate::types::{CUdeviceptr, CUstream};
use crate::work::Work;

/// A fill without a stream argument: it runs in the order of the default stream.
fn fill(stream: CUstream, fill: Fill) -> Outcome {
    capture::check_unsafe()?;
    fill_async(stream, stream, fill)
}

fn fill_async(stream: CUstream, null: CUstream, fill: Fill) -> Outcome {
    let stream = stream::resolve(stream, null)?;
    fill.check()?;
    stream::submit(&stream, Work::Fill(fill))
}

fn planar(
    address: u64,
    pitch: usize,
    value: u32,
    element: usize,
    width: usize,
    height: usize,
) -> Fill {
    Fill {
        address,
        pitch,
        value,
        element,
        width,
        height,
    }
}

abi! { STREAM_SYMBOLS |null|:
    fn cuMemsetD8_v2 / cuMemsetD8_v2_ptds(to: CUdeviceptr, value: u8, count: usize) = "cuMemsetD8" since 3020 {
        fill(null, Fill::linear(to, value.into(), 1, count))
    }

    fn cuMemsetD16_v2 / cuMemsetD16_v2_ptds(to: CUdeviceptr, value: u16, count: usize) = "cuMemsetD16" since 3020 {
        fill(null, Fill::linear(to, value.into(), 2, count))
    }

    fn cuMemsetD32_v2 / cuMemsetD32_v2_ptds(to: CUdeviceptr, value: u32, count: usize) = "cuMemsetD32" since 3020 {
        fill(null, Fill::linear(to, value, 4, count))
    }

    fn cuMemsetD2D8_v2 / cuMemsetD2D8_v2_ptds(to: CUdeviceptr, pitch: usize, value: u8, width: usize, height: usize) = "cuMemsetD2D8" since 3020 {
        fill(null, planar(to, pitch, value.into(), 1, width, height))
    }

    fn cuMemsetD2D16_v2 / cuMemsetD2D16_v2_ptds(to: CUdeviceptr, pitch: usize, value: u16, width: usize, height: usize) = "cuMemsetD2D16" since 3020 {
        fill(null, planar(to, pitch, value.into(), 2, width, height))
    }

    fn cuMemsetD2D32_v2 / cuMemsetD2D32_v2_ptds(to: CUdeviceptr, pitch: usize, value: u32, width: usize, height: usize) = "cuMemsetD2D32" since 3020 {
        fill(null, planar(to, pitch, value, 4, width, height))
    }

    fn cuMemsetD8Async / cuMemsetD8Async_ptsz(to: CUdeviceptr, value: u8, count: usize, stream: CUstream) = "cuMemsetD8Async" since 3020 {
        fill_async(stream, null, Fill::linear(to, value.into(), 1, count))
    }

    fn cuMemsetD16Async / cuMemsetD16Async_ptsz(to: CUdeviceptr, value: u16, count: usize, stream: CUstream) = "cuMemsetD16Async" since 3020 {
        fill_async(stream, null, Fill::linear(to, value.into(), 2, count))
    }

    fn cuMemsetD32Async / cuMemsetD32Async_ptsz(to: CUdeviceptr, value: u32, count: usize, stream: CUstream) = "cuMemsetD32Async" since 3020 {
        fill_async(stream, null, Fill::linear(to, value, 4, count))
    }

    fn cuMemsetD2D8Async / cuMemsetD2D8Async_ptsz(to: CUdeviceptr, pitch: usize, value: u8, width: usize, height: usize, stream: CUstream) = "cuMemsetD2D8Async" since 3020 {
        fill_async(stream, null, planar(to, pitch, value.into(), 1, width, height))
    }

    fn cuMemsetD2D16Async / cuMemsetD2D16Async_ptsz(to: CUdeviceptr, pitch: usize, value: u16, width: usize, height: usize, stream: CUstream) = "cuMemsetD2D16Async" since 3020 {
        fill_async(stream, null, planar(to, pitch, value.into(), 2, width, height))
    }

    fn cuMemsetD2D32Async / cuMemsetD2D32Async_ptsz(to: CUdeviceptr, pitch: usize, value: u32, width: usize, height: usize, stream: CUstream) = "cuMemsetD2D32Async" since 3020 {
        fill_async(stream, null, planar(to, pitch, value, 4, width, height))
    }
}
