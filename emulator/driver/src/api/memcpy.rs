//! Copies.

use std::sync::Arc;

use crate::capture;
use crate::copy::{Copy, Place, Side};
use crate::error::{Error, Outcome};
use crate::pointer::{Host, In};
use crate::stream;
use crate::types::{
    CUcontext, CUdeviceptr, CUstream, Memcpy2D, Memcpy2DSide, Memcpy3D, Memcpy3DSide,
};
use crate::work::Work;

/// `CUmemorytype`.
const HOST: u32 = 1;
const DEVICE: u32 = 2;
const UNIFIED: u32 = 4;

/// A copy that has completed when the call returns; one within the device only as far as the stream's order goes.
fn copy(stream: CUstream, copy: Copy) -> Outcome {
    let stream = stream::resolve(stream, stream)?;
    capture::check_unsafe()?;
    capture::check_implicit(&stream)?;
    copy.check()?;
    let touches_host = !matches!(
        (&copy.from.place, &copy.to.place),
        (Place::Device(_), Place::Device(_))
    );
    let work = Work::Copy(Arc::new(copy));
    if touches_host {
        stream::submit_and_wait(&stream, work)
    } else {
        stream::submit(&stream, work)
    }
}

/// A copy in stream order. Pageable host memory is read before the call returns, and written before it returns.
fn copy_async(stream: CUstream, null: CUstream, mut copy: Copy) -> Outcome {
    let stream = stream::resolve(stream, null)?;
    copy.check()?;
    if stream.is_capturing() {
        return stream::submit(&stream, Work::Copy(Arc::new(copy)));
    }
    if copy.writes_pageable()? {
        return stream::submit_and_wait(&stream, Work::Copy(Arc::new(copy)));
    }
    if copy.reads_pageable()? {
        copy.stage();
    }
    stream::submit(&stream, Work::Copy(Arc::new(copy)))
}

fn place(kind: u32, host: Host, device: CUdeviceptr) -> Result<Place, Error> {
    match kind {
        HOST => Ok(Place::Host(host)),
        DEVICE => Ok(Place::Device(device)),
        UNIFIED => Place::of(device),
        // Arrays are not emulated.
        3 => Err(Error::NOT_SUPPORTED),
        _ => Err(Error::INVALID_VALUE),
    }
}

fn shift(place: Place, bytes: usize) -> Place {
    match place {
        Place::Host(host) => Place::Host(host.offset(bytes)),
        Place::Device(address) => Place::Device(address.wrapping_add(bytes as u64)),
        other => other,
    }
}

impl Memcpy2DSide {
    fn side(&self, width: usize) -> Result<Side, Error> {
        let pitch = if self.pitch == 0 { width } else { self.pitch };
        let start = place(self.kind, self.host, self.device)?;
        Ok(Side {
            place: shift(start, self.y * pitch + self.x),
            pitch,
            slice: 0,
        })
    }
}

impl Memcpy3DSide {
    fn side(&self, width: usize, height: usize) -> Result<Side, Error> {
        if self.lod != 0 {
            return Err(Error::NOT_SUPPORTED);
        }
        let pitch = if self.pitch == 0 { width } else { self.pitch };
        let slice = pitch
            * if self.height == 0 {
                height
            } else {
                self.height
            };
        let start = place(self.kind, self.host, self.device)?;
        Ok(Side {
            place: shift(start, self.z * slice + self.y * pitch + self.x),
            pitch,
            slice,
        })
    }

    fn of(side: &Side) -> Self {
        let (kind, host, device) = match side.place {
            Place::Host(host) => (HOST, host, 0),
            Place::Device(address) => (DEVICE, Host::from_address(0), address),
            Place::Bytes(_) => (HOST, Host::from_address(0), 0),
        };
        let height = side.slice.checked_div(side.pitch).unwrap_or(0);
        Memcpy3DSide {
            x: 0,
            y: 0,
            z: 0,
            lod: 0,
            kind,
            host,
            device,
            array: 0,
            reserved: 0,
            pitch: side.pitch,
            height,
        }
    }
}

fn planar(parameters: In<Memcpy2D>) -> Result<Copy, Error> {
    let p = parameters.get()?;
    let (from, to) = (p.source.side(p.width)?, p.target.side(p.width)?);
    Ok(Copy {
        from,
        to,
        width: p.width,
        height: p.height,
        depth: 1,
    })
}

/// A copy from the parameters of a 3-D copy or of a graph's copy node.
pub(super) fn spatial(parameters: In<Memcpy3D>) -> Result<Copy, Error> {
    let p = parameters.get()?;
    let (from, to) = (
        p.source.side(p.width, p.height)?,
        p.target.side(p.width, p.height)?,
    );
    Ok(Copy {
        from,
        to,
        width: p.width,
        height: p.height,
        depth: p.depth,
    })
}

/// The parameters of a copy.
pub(super) fn parameters(copy: &Copy) -> Memcpy3D {
    Memcpy3D {
        source: Memcpy3DSide::of(&copy.from),
        target: Memcpy3DSide::of(&copy.to),
        width: copy.width,
        height: copy.height,
        depth: copy.depth,
    }
}

abi! { STREAM_SYMBOLS |null|:
    fn cuMemcpy / cuMemcpy_ptds(to: CUdeviceptr, from: CUdeviceptr, size: usize) = "cuMemcpy" since 4000 {
        copy(null, Copy::linear(Place::of(to)?, Place::of(from)?, size))
    }

    fn cuMemcpyAsync / cuMemcpyAsync_ptsz(to: CUdeviceptr, from: CUdeviceptr, size: usize, stream: CUstream) = "cuMemcpyAsync" since 4000 {
        copy_async(stream, null, Copy::linear(Place::of(to)?, Place::of(from)?, size))
    }

    fn cuMemcpyHtoD_v2 / cuMemcpyHtoD_v2_ptds(to: CUdeviceptr, from: Host, size: usize) = "cuMemcpyHtoD" since 3020 {
        copy(null, Copy::linear(Place::Device(to), Place::Host(from), size))
    }

    fn cuMemcpyDtoH_v2 / cuMemcpyDtoH_v2_ptds(to: Host, from: CUdeviceptr, size: usize) = "cuMemcpyDtoH" since 3020 {
        copy(null, Copy::linear(Place::Host(to), Place::Device(from), size))
    }

    fn cuMemcpyDtoD_v2 / cuMemcpyDtoD_v2_ptds(to: CUdeviceptr, from: CUdeviceptr, size: usize) = "cuMemcpyDtoD" since 3020 {
        copy(null, Copy::linear(Place::Device(to), Place::Device(from), size))
    }

    fn cuMemcpyHtoDAsync_v2 / cuMemcpyHtoDAsync_v2_ptsz(to: CUdeviceptr, from: Host, size: usize, stream: CUstream) = "cuMemcpyHtoDAsync" since 3020 {
        copy_async(stream, null, Copy::linear(Place::Device(to), Place::Host(from), size))
    }

    fn cuMemcpyDtoHAsync_v2 / cuMemcpyDtoHAsync_v2_ptsz(to: Host, from: CUdeviceptr, size: usize, stream: CUstream) = "cuMemcpyDtoHAsync" since 3020 {
        copy_async(stream, null, Copy::linear(Place::Host(to), Place::Device(from), size))
    }

    fn cuMemcpyDtoDAsync_v2 / cuMemcpyDtoDAsync_v2_ptsz(to: CUdeviceptr, from: CUdeviceptr, size: usize, stream: CUstream) = "cuMemcpyDtoDAsync" since 3020 {
        copy_async(stream, null, Copy::linear(Place::Device(to), Place::Device(from), size))
    }

    fn cuMemcpyPeer / cuMemcpyPeer_ptds(to: CUdeviceptr, to_context: CUcontext, from: CUdeviceptr, from_context: CUcontext, size: usize) = "cuMemcpyPeer" since 4000 {
        to_context.get()?;
        from_context.get()?;
        copy(null, Copy::linear(Place::Device(to), Place::Device(from), size))
    }

    fn cuMemcpyPeerAsync / cuMemcpyPeerAsync_ptsz(
        to: CUdeviceptr,
        to_context: CUcontext,
        from: CUdeviceptr,
        from_context: CUcontext,
        size: usize,
        stream: CUstream,
    ) = "cuMemcpyPeerAsync" since 4000 {
        to_context.get()?;
        from_context.get()?;
        copy_async(stream, null, Copy::linear(Place::Device(to), Place::Device(from), size))
    }

    fn cuMemcpy2D_v2 / cuMemcpy2D_v2_ptds(parameters: In<Memcpy2D>) = "cuMemcpy2D" since 3020 {
        copy(null, planar(parameters)?)
    }

    fn cuMemcpy2DUnaligned_v2 / cuMemcpy2DUnaligned_v2_ptds(parameters: In<Memcpy2D>) = "cuMemcpy2DUnaligned" since 3020 {
        copy(null, planar(parameters)?)
    }

    fn cuMemcpy2DAsync_v2 / cuMemcpy2DAsync_v2_ptsz(parameters: In<Memcpy2D>, stream: CUstream) = "cuMemcpy2DAsync" since 3020 {
        copy_async(stream, null, planar(parameters)?)
    }

    fn cuMemcpy3D_v2 / cuMemcpy3D_v2_ptds(parameters: In<Memcpy3D>) = "cuMemcpy3D" since 3020 {
        copy(null, spatial(parameters)?)
    }

    fn cuMemcpy3DAsync_v2 / cuMemcpy3DAsync_v2_ptsz(parameters: In<Memcpy3D>, stream: CUstream) = "cuMemcpy3DAsync" since 3020 {
        copy_async(stream, null, spatial(parameters)?)
    }
}
