//! Which reads of shared memory have ended.
//!
//! A read orders its thread's arrival at an mbarrier behind it, but the arrival does not wait for the value: the next
//! write through the asynchronous proxy may come first. Hopper GPUs do that when MMAs keep shared memory busy; one element
//! in a hundred was wrong. So such a write must find that the value has been used, or that its reader has executed
//! `fence.proxy.async`, before the arrival.
//!
//! A value counts as used by the first instruction that takes its register: how the assembler orders that instruction
//! and the arrival is not known here. Loads of a warp end in order. `bar.sync` and the cluster barrier are taken to wait.

use super::Check;
use crate::isa::{Operands, Slot};

/// The reads of a warp that may still be under way: register, and the warp's time. Oldest first.
pub(super) type Reads = Vec<(Slot, u32)>;

impl Check {
    /// An instruction of the warp has taken its registers: what was loaded into them, and before, has arrived.
    pub fn uses(&mut self, rank: u32, warp: u32, registers: &Operands) {
        let local = self.local(rank, warp);
        let reads = &mut self.warps[local].reads;
        let used = |slot: &Slot| {
            [&registers.reads, &registers.addresses, &registers.writes]
                .iter()
                .any(|slots| slots.contains(slot))
        };
        if let Some(last) = reads.iter().rposition(|(slot, _)| used(slot)) {
            reads.drain(..=last);
        }
    }

    /// The instruction has been executed: if it read shared memory, its results are under way.
    pub fn executed(&mut self, rank: u32, warp: u32, registers: &Operands) {
        let local = self.local(rank, warp);
        let warp = &mut self.warps[local];
        warp.steps += 1;
        if std::mem::take(&mut self.has_read_shared) {
            let time = warp.time;
            let results = registers.writes.iter().map(|slot| (*slot, time));
            warp.reads.extend(results);
        }
    }

    /// The lanes know which reads of their warp have ended, and will pass it on.
    pub(super) fn note_ended(&mut self, rank: u32, warp: u32, mask: u32) {
        let own = &self.warps[self.local(rank, warp)];
        let ended = own.reads.first().map_or(own.time, |(_, time)| time - 1);
        self.update(rank, warp, mask, |thread, actors| {
            thread.reads_ended(actors.warp, ended)
        });
    }

    /// All reads before this have ended.
    pub(super) fn wait_for_reads(&mut self, rank: u32, warp: u32, mask: u32) {
        let local = self.local(rank, warp);
        self.warps[local].reads.clear();
        self.note_ended(rank, warp, mask);
    }
}
