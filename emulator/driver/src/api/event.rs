//! Events.

use crate::context;
use crate::driver::driver;
use crate::error::{Error, Outcome};
use crate::event::{DISABLE_TIMING, Event};
use crate::object;
use crate::pointer::Out;
use crate::stream;
use crate::types::{CUevent, CUstream};

fn record(event: CUevent, stream: CUstream, null: CUstream) -> Outcome {
    let stream = stream::resolve(stream, null)?;
    let event = event.get()?;
    if event.context != stream.context {
        return Err(Error::INVALID_HANDLE);
    }
    event.record(&stream)
}

fn elapsed(milliseconds: Out<f32>, start: CUevent, end: CUevent) -> Outcome {
    driver()?;
    let (start, end) = (start.get()?, end.get()?);
    milliseconds.set(start.milliseconds_to(&end)?)
}

abi! { SYMBOLS:
    fn cuEventCreate(event: Out<CUevent>, flags: u32) = "cuEventCreate" since 2000 {
        let context = context::current()?;
        // Blocking waits and no timing; interprocess events are not emulated.
        if event.is_null() || flags & !7 != 0 || (flags & 4 != 0 && flags & DISABLE_TIMING == 0) {
            return Err(Error::INVALID_VALUE);
        }
        event.set(object::add(Event::new(&context, flags)))
    }

    fn cuEventDestroy_v2(event: CUevent) = "cuEventDestroy" since 4000 {
        driver()?;
        object::remove(event).map(|_| ())
    }

    fn cuEventQuery(event: CUevent) = "cuEventQuery" since 2000 {
        let driver = driver()?;
        let event = event.get()?;
        let number = event.last_record()?;
        let reached = driver.queue.poll_event(&event, number);
        event.fate.check()?;
        if reached { Ok(()) } else { Err(Error::NOT_READY) }
    }

    fn cuEventSynchronize(event: CUevent) = "cuEventSynchronize" since 2000 {
        let driver = driver()?;
        let event = event.get()?;
        let number = event.last_record()?;
        driver.queue.finish_event(&event, number);
        event.fate.check()
    }

    fn cuEventElapsedTime(milliseconds: Out<f32>, start: CUevent, end: CUevent) = "cuEventElapsedTime" since 2000 {
        elapsed(milliseconds, start, end)
    }

    fn cuEventElapsedTime_v2(milliseconds: Out<f32>, start: CUevent, end: CUevent) = "cuEventElapsedTime" since 12080 {
        elapsed(milliseconds, start, end)
    }
}

abi! { STREAM_SYMBOLS |null|:
    fn cuEventRecord / cuEventRecord_ptsz(event: CUevent, stream: CUstream) = "cuEventRecord" since 2000 {
        record(event, stream, null)
    }

    fn cuEventRecordWithFlags / cuEventRecordWithFlags_ptsz(event: CUevent, stream: CUstream, flags: u32) = "cuEventRecordWithFlags" since 11010 {
        match flags {
            0 => record(event, stream, null),
            // Event nodes are not emulated.
            1 if stream::resolve(stream, null)?.is_capturing() => Err(Error::NOT_SUPPORTED),
            1 => record(event, stream, null),
            _ => Err(Error::INVALID_VALUE),
        }
    }
}
