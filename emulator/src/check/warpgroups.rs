//! What the warps of a warpgroup know of its `wgmma` operations.

use super::Check;
use super::footprint::Touch;
use super::shadow::Operation;
use super::stream::Key;
use crate::machine::{Agent, FaultKind};

impl Check {
    /// A warp's share of a wgmma reads its operands in shared memory.
    pub fn warpgroup(
        &mut self,
        agent: Agent,
        mask: u32,
        group: u32,
        touches: &[Touch],
    ) -> Result<(), FaultKind> {
        if !self.on {
            return Ok(());
        }
        let stream = self.stream(Key::Warpgroup(self.local(agent.rank, agent.warp) as u32));
        let entry = self.operation(
            agent,
            Operation::TensorCore("wgmma.mma_async"),
            stream,
            group + 1,
        );
        let thread = self.together(agent.rank, agent.warp, mask);
        self.touch_all(touches, &thread, entry)
    }

    /// A warp has waited for all groups below `limit`.
    pub fn warpgroup_completed(&mut self, rank: u32, warp: u32, mask: u32, limit: u32) {
        if !self.on {
            return;
        }
        let stream = self.stream(Key::Warpgroup(self.local(rank, warp) as u32));
        self.update(rank, warp, mask, |thread, _| {
            thread.completed(stream, limit)
        });
    }

    /// wgmma.wait_group of all warps of a warpgroup: their MMAs are one operation. The ISA speaks of each warp's own, and
    /// the strict checks want a barrier between the warps.
    pub fn warpgroup_completed_together(&mut self, rank: u32, warp: u32, mask: u32, limit: u32) {
        if !self.on || self.strict {
            return;
        }
        let first = self.local(rank, warp / 4 * 4) as u32;
        let streams: Vec<_> = (first..first + 4)
            .map(|local| self.stream(Key::Warpgroup(local)))
            .collect();
        self.update(rank, warp, mask, |thread, _| {
            streams.iter().for_each(|s| thread.completed(*s, limit));
        });
    }
}
