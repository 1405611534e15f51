//! Shadow memory: who touched each granule last, and whether what follows is ordered behind it.
//!
//! A granule is 16 bytes of shared or global memory, or one column of 32 lanes of tensor memory; a mask says which bytes
//! or lanes an access touches. Like FastTrack (Flanagan and Freund, 2009) a granule keeps the last writes, and those reads
//! that no later read is known to follow.

use super::clock::{Clock, Stream};
use super::knowledge::Thread;

/// The stream of accesses that threads perform themselves.
pub(crate) const DIRECT: Stream = u32::MAX;
/// A granule forgets the oldest of more accesses than this: only unordered atomics ever come to so many.
const MOST: usize = 96;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) enum Operation {
    Load,
    Store,
    Atomic,
    BarrierInit,
    Copy(&'static str),
    Transfer(&'static str),
    TensorCore(&'static str),
    Allocation,
    Deallocation,
}

impl Operation {
    pub fn name(self) -> &'static str {
        match self {
            Operation::Load => "load",
            Operation::Store => "store",
            Operation::Atomic => "atomic",
            Operation::BarrierInit => "mbarrier.init",
            Operation::Copy(name) | Operation::Transfer(name) | Operation::TensorCore(name) => name,
            Operation::Allocation => "tcgen05.alloc",
            Operation::Deallocation => "tcgen05.dealloc",
        }
    }
}

/// One access to part of a granule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub operation: Operation,
    pub write: bool,
    /// Atomic or relaxed: does not race with its like.
    pub strong: bool,
    /// By the asynchronous proxy.
    pub asynchronous: bool,
    /// [`DIRECT`], or the stream whose progress says that it is complete.
    pub stream: Stream,
    /// Number in the stream, or time of the warp.
    pub time: u32,
    pub warp: u32,
    pub lanes: u32,
    /// The lane to be named in a report.
    pub lane: u32,
    pub line: u32,
    /// Digest of what a thread has written, or 0: equal values stored by one instruction do not conflict, as compilers
    /// let all threads store what they have in common.
    pub value: u32,
    pub mask: u32,
}

impl Entry {
    /// True if both are the same store instruction with the same value.
    pub fn stores_the_same(&self, other: &Entry) -> bool {
        self.value != 0 && self.value == other.value && self.line == other.line
    }
}

/// The memory that is accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Shared,
    Tensor,
    Global,
    /// A tensor map in global memory, read by the unit that uses it.
    Map,
}

/// What is missing between two accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    Order,
    ProxyFence,
    /// The earlier access reads, and may not have ended.
    ReadEnd,
    TensorWait,
    TensorFence,
}

/// An access and what its thread knows.
pub(crate) struct Access<'a> {
    pub place: Place,
    pub thread: &'a Thread,
    /// Its mask is not used.
    pub entry: Entry,
}

impl Access<'_> {
    /// True if `earlier` is ordered before this access, proxies apart.
    fn follows(&self, earlier: &Entry) -> bool {
        let order = &self.thread.now.order;
        if self.is_fenced_read(earlier) {
            return true;
        }
        if earlier.stream == DIRECT {
            let own_warp = self.entry.warp == earlier.warp;
            let own = self.entry.stream == DIRECT && own_warp;
            // The whole warp allocates; what any of its threads issues comes behind.
            let direct = own || self.place == Place::Tensor && own_warp;
            if direct && earlier.operation == Operation::Allocation {
                return true;
            }
            let others = if own {
                earlier.lanes & !self.entry.lanes
            } else {
                earlier.lanes
            };
            return order.covers(earlier.warp, others, earlier.time);
        }
        order.stream(earlier.stream) >= earlier.time
            || self.place == Place::Tensor && self.follows_in_tensor_order(earlier)
    }

    /// Pipelined operations follow each other when issued in order; others when fences order them (PTX ISA, tcgen05
    /// memory consistency; brief, 2.6).
    fn follows_in_tensor_order(&self, earlier: &Entry) -> bool {
        let after = &self.thread.tensor_after;
        after.stream(earlier.stream) >= earlier.time
            || self.is_pipelined_with(earlier) && after.stream(earlier.stream + 1) >= earlier.time
    }

    fn is_pipelined_with(&self, earlier: &Entry) -> bool {
        let core = |e: &Entry| matches!(e.operation, Operation::TensorCore(_));
        core(&self.entry) && core(earlier)
    }

    /// True for an asynchronous write over a read that is over since its lane has executed `fence.proxy.async` together
    /// with one that has signalled: CUTLASS's epilogues let one lane arrive for its warp behind that fence.
    fn is_fenced_read(&self, earlier: &Entry) -> bool {
        let is_read = earlier.stream == DIRECT && !earlier.asynchronous && !earlier.write;
        let proxy = &self.thread.now.shared_proxy;
        let overwrites = self.place == Place::Shared && self.entry.asynchronous && self.entry.write;
        (!self.thread.strict && overwrites && is_read)
            && proxy.covers(earlier.warp, earlier.lanes, earlier.time)
    }

    /// True if `earlier` is no read of shared memory by another warp that an arrival, but nothing that waits for it, lets
    /// the asynchronous proxy overwrite.
    fn has_ended(&self, earlier: &Entry) -> bool {
        let is_read = earlier.stream == DIRECT && !earlier.asynchronous && !earlier.write;
        let overwrites = self.entry.asynchronous && self.entry.write;
        if self.place != Place::Shared || !is_read || !overwrites || earlier.warp == self.entry.warp
        {
            return true;
        }
        let now = &self.thread.now;
        let of_reader = |clock: &Clock| clock.covers(earlier.warp, earlier.lanes, earlier.time);
        of_reader(&now.reads) || of_reader(&now.shared_proxy)
    }

    /// True if no proxy fence is needed, or one has been executed behind `earlier`. Reads need none, once they have ended.
    fn is_visible(&self, earlier: &Entry) -> bool {
        let now = &self.thread.now;
        if self.place == Place::Map {
            return earlier.stream != DIRECT
                || now.maps.covers(earlier.warp, earlier.lanes, earlier.time);
        }
        if !self.entry.asynchronous || earlier.asynchronous || !earlier.write {
            return true;
        }
        // Triton lets MMAs read what cp.async of f32 has written without a fence.
        if earlier.operation == Operation::Copy("cp.async") && !self.thread.strict {
            return true;
        }
        // Triton reuses the place of barriers that it has initialised and never needed.
        if earlier.operation == Operation::BarrierInit && !self.thread.strict {
            return true;
        }
        let proxy = match self.place {
            Place::Shared => &now.shared_proxy,
            Place::Global => &now.global_proxy,
            Place::Tensor | Place::Map => return true,
        };
        match earlier.stream {
            DIRECT => proxy.covers(earlier.warp, earlier.lanes, earlier.time),
            stream => proxy.stream(stream) >= earlier.time,
        }
    }

    /// True if both `tcgen05.fence`s stand between `earlier` and this access, or none is needed.
    fn is_fenced(&self, earlier: &Entry) -> bool {
        let after = &self.thread.fenced_after;
        let core = |e: &Entry| matches!(e.operation, Operation::TensorCore(_));
        let own = earlier.warp == self.entry.warp && (!core(earlier) || core(&self.entry))
            || earlier.operation == Operation::Allocation;
        own || match earlier.stream {
            DIRECT => after.covers(earlier.warp, earlier.lanes, earlier.time),
            stream => after.stream(stream) >= earlier.time,
        }
    }

    /// What would have to be added to order this access behind `earlier`.
    fn missing(&self, earlier: &Entry) -> Option<Missing> {
        if self.follows(earlier) {
            let fenced =
                !self.thread.strict || self.place != Place::Tensor || self.is_fenced(earlier);
            if !self.has_ended(earlier) {
                return Some(Missing::ReadEnd);
            }
            return match (self.is_visible(earlier), fenced) {
                (false, _) => Some(Missing::ProxyFence),
                (true, false) => Some(Missing::TensorFence),
                (true, true) => None,
            };
        }
        if self.place != Place::Tensor || earlier.stream == DIRECT {
            return Some(Missing::Order);
        }
        let seen = &self.thread.now.seen;
        let is_transfer = matches!(earlier.operation, Operation::Transfer(_));
        let was_issued = seen.stream(earlier.stream + 1) >= earlier.time;
        Some(match () {
            _ if seen.stream(earlier.stream) >= earlier.time => Missing::TensorFence,
            _ if is_transfer && (was_issued || earlier.warp == self.entry.warp) => {
                Missing::TensorWait
            }
            _ if was_issued && self.is_pipelined_with(earlier) => Missing::TensorFence,
            _ => Missing::Order,
        })
    }
}

/// A piece of memory and its recent accesses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Granule {
    entries: Vec<Entry>,
}

impl Granule {
    /// Checks an access against the earlier ones and records it. The error is the earlier party.
    pub fn access(&mut self, access: &Access<'_>, mask: u32) -> Result<(), (Missing, Entry)> {
        let write = access.entry.write;
        let mut covered = false;
        for earlier in &mut self.entries {
            if earlier.mask & mask == 0 {
                continue;
            }
            let exempt = !write && !earlier.write
                || access.entry.strong && earlier.strong
                || earlier.mask == mask && earlier.stores_the_same(&access.entry);
            if !exempt && let Some(missing) = access.missing(earlier) {
                return Err((missing, *earlier));
            }
            // An atomic does not stand for a plain access before it: another atomic could race with that.
            let stands_for = !access.entry.strong || earlier.strong;
            if write && !exempt && stands_for {
                earlier.mask &= !mask;
            } else if exempt && earlier.write == write {
                covered |= replace(earlier, access, mask);
            }
        }
        self.entries.retain(|e| e.mask != 0);
        if covered {
            return Ok(());
        }
        if self.entries.len() >= MOST {
            self.entries.remove(0);
        }
        self.entries.push(Entry {
            mask,
            ..access.entry
        });
        Ok(())
    }

    pub fn writes(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|e| e.write)
    }

    /// Records an access that is known to conflict with none.
    pub fn note(&mut self, entry: Entry) {
        if self.entries.len() < MOST {
            self.entries.push(entry);
        }
    }

    pub fn forget(&mut self) {
        self.entries.clear();
    }
}

/// Lets an access of the same kind stand for an earlier one where that loses nothing. True if it is recorded by that.
fn replace(earlier: &mut Entry, access: &Access<'_>, mask: u32) -> bool {
    let now = &access.entry;
    let same_warp =
        earlier.stream == now.stream && earlier.warp == now.warp && earlier.strong == now.strong;
    if same_warp && earlier.time == now.time && earlier.line == now.line {
        if earlier.mask == mask && now.stream == DIRECT {
            earlier.lanes |= now.lanes;
            return true;
        }
        if earlier.lanes == now.lanes {
            earlier.mask |= mask;
            earlier.value = 0;
            return true;
        }
    }
    if access.follows(earlier) {
        earlier.mask &= !mask;
    }
    false
}

#[cfg(test)]
#[path = "shadow_tests.rs"]
mod tests;
