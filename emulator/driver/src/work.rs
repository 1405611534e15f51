//! One piece of work of a stream.

use std::cell::Cell;
use std::sync::Arc;

use crate::copy::{Copy, Fill};
use crate::driver::driver;
use crate::error::Outcome;
use crate::event::Event;
use crate::launch::Launch;
use crate::memory;
use crate::pointer::Callback;
use crate::stream::Stream;

/// What a stream does next, or a node of a graph.
#[derive(Clone)]
pub(crate) enum Work {
    /// Nothing: a node that only orders others.
    Empty,
    Kernel(Arc<Launch>),
    /// Launches in a row of which each may start before the one in front of it is complete.
    Overlapping(Arc<[Arc<Launch>]>),
    Copy(Arc<Copy>),
    Fill(Fill),
    Host(Callback),
    /// The Nth record of an event.
    Record(Arc<Event>, u64),
    /// Until the Nth record of an event has been reached.
    Wait(Arc<Event>, u64),
    /// `cuMemFreeAsync`.
    Free(u64),
    /// The nodes of a graph in an order that its edges allow.
    Graph(Arc<[Work]>),
}

thread_local! {
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread runs a caller's function inside a stream, where driver calls are not permitted.
pub(crate) fn in_callback() -> bool {
    IN_CALLBACK.get()
}

impl Work {
    /// Runs it, unless an earlier error has stopped the context; its own error stops the context.
    pub(crate) fn run(&self, stream: &Stream) {
        match self {
            // Even a dead context's events must come to an end, and its memory must be given back.
            Work::Record(event, number) => event.reach(*number),
            Work::Free(address) => memory::release(*address),
            _ if stream.fate.check().is_err() => {}
            work => {
                if let Err(error) = work.execute() {
                    stream.fate.seal(error);
                }
            }
        }
    }

    fn execute(&self) -> Outcome {
        match self {
            Work::Empty | Work::Wait(..) | Work::Record(..) | Work::Free(..) => Ok(()),
            Work::Kernel(launch) => driver()?.machine.launch(std::slice::from_ref(launch)),
            Work::Overlapping(launches) => driver()?.machine.launch(launches),
            Work::Copy(copy) => copy.run(),
            Work::Fill(fill) => fill.run(),
            Work::Graph(nodes) => nodes.iter().try_for_each(Work::execute),
            Work::Host(callback) => {
                IN_CALLBACK.set(true);
                callback.run();
                IN_CALLBACK.set(false);
                Ok(())
            }
        }
    }
}
