//! Streams.

use crate::context;
use crate::driver::driver;
use crate::error::{Error, Outcome};
use crate::object;
use crate::pointer::{Callback, Host, Out};
use crate::stream::{self, Bond, LEGACY, NON_BLOCKING, PER_THREAD, Stream};
use crate::types::{CUcontext, CUevent, CUstream, LaunchAttributeValue};
use crate::work::Work;

/// Priorities run from 0, the default, to -5, the first to be served.
pub(super) const LEAST_PRIORITY: i32 = 0;
pub(super) const GREATEST_PRIORITY: i32 = -5;

fn create(out: Out<CUstream>, flags: u32, priority: i32) -> Outcome {
    let context = context::current()?;
    if out.is_null() || flags & !NON_BLOCKING != 0 {
        return Err(Error::INVALID_VALUE);
    }
    let bond = if flags & NON_BLOCKING != 0 {
        Bond::Free
    } else {
        Bond::Blocking
    };
    let priority = priority.clamp(GREATEST_PRIORITY, LEAST_PRIORITY);
    out.set(object::add(Stream::new(
        context.handle,
        context.fate.clone(),
        bond,
        priority,
    )))
}

/// What `cuStreamAddCallback` calls: its function has another signature than a host function.
struct Notice {
    function: extern "C" fn(CUstream, u32, Host),
    stream: CUstream,
    data: Host,
}

extern "C" fn notify(data: *mut std::ffi::c_void) {
    // SAFETY: made by `Box::into_raw` in `cuStreamAddCallback`, and run once.
    let notice = unsafe { Box::from_raw(data as *mut Notice) };
    (notice.function)(notice.stream, 0, notice.data);
}

abi! { SYMBOLS:
    fn cuStreamCreate(stream: Out<CUstream>, flags: u32) = "cuStreamCreate" since 2000 {
        create(stream, flags, LEAST_PRIORITY)
    }

    fn cuStreamCreateWithPriority(stream: Out<CUstream>, flags: u32, priority: i32) = "cuStreamCreateWithPriority" since 5050 {
        create(stream, flags, priority)
    }

    fn cuStreamDestroy_v2(stream: CUstream) = "cuStreamDestroy" since 4000 {
        driver()?;
        if stream.is_null() || stream == LEGACY || stream == PER_THREAD {
            return Err(Error::INVALID_HANDLE);
        }
        let stream = object::remove(stream)?;
        // A capture that it takes part in cannot end well; its work does.
        let _ = crate::capture::forbid_in(&stream);
        Ok(())
    }
}

abi! { STREAM_SYMBOLS |null|:
    fn cuStreamGetPriority / cuStreamGetPriority_ptsz(stream: CUstream, priority: Out<i32>) = "cuStreamGetPriority" since 5050 {
        priority.set(stream::resolve(stream, null)?.priority)
    }

    fn cuStreamGetFlags / cuStreamGetFlags_ptsz(stream: CUstream, flags: Out<u32>) = "cuStreamGetFlags" since 5050 {
        flags.set(stream::resolve(stream, null)?.flags())
    }

    fn cuStreamGetId / cuStreamGetId_ptsz(stream: CUstream, id: Out<u64>) = "cuStreamGetId" since 12000 {
        id.set(stream::resolve(stream, null)?.id)
    }

    fn cuStreamGetCtx / cuStreamGetCtx_ptsz(stream: CUstream, context: Out<CUcontext>) = "cuStreamGetCtx" since 9020 {
        context.set(stream::resolve(stream, null)?.context)
    }

    fn cuStreamGetCtx_v2 / cuStreamGetCtx_v2_ptsz(stream: CUstream, context: Out<CUcontext>, green: Out<usize>) = "cuStreamGetCtx" since 12050 {
        green.set_if_wanted(0);
        context.set(stream::resolve(stream, null)?.context)
    }

    fn cuStreamGetDevice / cuStreamGetDevice_ptsz(stream: CUstream, device: Out<i32>) = "cuStreamGetDevice" since 12080 {
        stream::resolve(stream, null)?;
        device.set(0)
    }

    fn cuStreamWaitEvent / cuStreamWaitEvent_ptsz(stream: CUstream, event: CUevent, flags: u32) = "cuStreamWaitEvent" since 3020 {
        let stream = stream::resolve(stream, null)?;
        match flags {
            0 => event.get()?.delay(&stream),
            // Event nodes are not emulated.
            1 if stream.is_capturing() => Err(Error::NOT_SUPPORTED),
            1 => event.get()?.delay(&stream),
            _ => Err(Error::INVALID_VALUE),
        }
    }

    fn cuStreamAddCallback / cuStreamAddCallback_ptsz(
        stream: CUstream,
        function: Option<extern "C" fn(CUstream, u32, Host)>,
        data: Host,
        flags: u32,
    ) = "cuStreamAddCallback" since 5000 {
        let target = stream::resolve(stream, null)?;
        let function = function.ok_or(Error::INVALID_VALUE)?;
        if flags != 0 {
            return Err(Error::INVALID_VALUE);
        }
        crate::capture::forbid_in(&target)?;
        let notice = Box::into_raw(Box::new(Notice { function, stream, data }));
        let callback = Callback::new(Some(notify), Host::from_address(notice as usize))?;
        stream::submit(&target, Work::Host(callback))
    }

    fn cuStreamQuery / cuStreamQuery_ptsz(stream: CUstream) = "cuStreamQuery" since 2000 {
        let stream = stream::resolve(stream, null)?;
        crate::capture::forbid_in(&stream)?;
        let empty = driver()?.queue.poll_stream(&stream);
        stream.fate.check()?;
        if empty { Ok(()) } else { Err(Error::NOT_READY) }
    }

    fn cuStreamSynchronize / cuStreamSynchronize_ptsz(stream: CUstream) = "cuStreamSynchronize" since 2000 {
        stream::synchronise(&stream::resolve(stream, null)?)
    }

    fn cuStreamCopyAttributes / cuStreamCopyAttributes_ptsz(to: CUstream, from: CUstream) = "cuStreamCopyAttributes" since 11000 {
        stream::resolve(to, null)?;
        stream::resolve(from, null).map(|_| ())
    }

    fn cuStreamGetAttribute / cuStreamGetAttribute_ptsz(stream: CUstream, attribute: u32, value: Out<LaunchAttributeValue>) = "cuStreamGetAttribute" since 11000 {
        let stream = stream::resolve(stream, null)?;
        let word = match attribute {
            1 | 3 | 9 | 10 => 0,
            8 => u64::from(stream.priority as u32),
            _ => return Err(Error::INVALID_VALUE),
        };
        value.set(LaunchAttributeValue([word, 0, 0, 0, 0, 0, 0, 0]))
    }

    fn cuStreamSetAttribute / cuStreamSetAttribute_ptsz(stream: CUstream, attribute: u32, value: crate::pointer::In<LaunchAttributeValue>) = "cuStreamSetAttribute" since 11000 {
        stream::resolve(stream, null)?;
        value.get()?;
        // Caching and scheduling hints change nothing here.
        if matches!(attribute, 1 | 3 | 9 | 10) { Ok(()) } else { Err(Error::INVALID_VALUE) }
    }

    fn cuStreamAttachMemAsync / cuStreamAttachMemAsync_ptsz(stream: CUstream, address: u64, length: usize, flags: u32) = "cuStreamAttachMemAsync" since 6000 {
        let _ = (address, length, flags);
        stream::resolve(stream, null)?;
        // Managed memory is not emulated.
        Err(Error::NOT_SUPPORTED)
    }
}
