//! What the warps of a warpgroup must all do: `wgmma.mma_async` and `setmaxnreg` (PTX ISA, 9.7.15 and setmaxnreg).
//!
//! Warps are not held up for each other, because no result depends on it; what each has executed is compared instead. But
//! the MMAs of a warpgroup are one operation, which is complete for all of its warps or for none: `wgmma.wait_group` waits
//! for the others. FlashAttention's epilogues write over what another warp's share has read.

use std::collections::VecDeque;

use super::fault::FaultKind;

/// Warps of a warpgroup.
pub(super) const WARPS: u32 = 4;

/// What all warps of a warpgroup execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Together {
    /// wgmma.mma_async.
    Multiply,
    /// setmaxnreg. Triton has it once for each of several groups of warps inside a warpgroup, so only the count is held.
    SetMaxRegisters,
}

/// The instructions that the warps of one warpgroup have executed, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct WarpgroupLog {
    /// Lines that not all warps have reached.
    lines: VecDeque<u32>,
    /// Number of the first of them.
    first: u64,
    /// Instructions of each warp.
    counts: [u64; WARPS as usize],
    /// Groups of wgmma that each warp has waited for.
    waited: [u32; WARPS as usize],
}

impl WarpgroupLog {
    /// A warp executes the instruction at a line.
    pub fn record(&mut self, warp: u32, line: u32, what: Together) -> Result<(), FaultKind> {
        let member = (warp % WARPS) as usize;
        let place = (self.counts[member] - self.first) as usize;
        match self.lines.get(place) {
            None => self.lines.push_back(line),
            Some(other) if *other == line || what == Together::SetMaxRegisters => {}
            Some(other) => {
                return Err(FaultKind::Divergence(format!(
                    "the warps of a warpgroup execute different instructions: another one is at line {other}"
                )));
            }
        }
        self.counts[member] += 1;
        while self.counts.iter().all(|count| *count > self.first) {
            self.lines.pop_front();
            self.first += 1;
        }
        Ok(())
    }

    /// A warp has waited for the groups below `limit`; true if it had not before.
    pub fn waited(&mut self, warp: u32, limit: u32) -> bool {
        let waited = &mut self.waited[(warp % WARPS) as usize];
        let before = std::mem::replace(waited, limit.max(*waited));
        before < limit
    }

    /// A warp has exited: nobody waits for it.
    pub fn leave(&mut self, warp: u32) {
        self.waited[(warp % WARPS) as usize] = u32::MAX;
    }

    /// True if so many warps have waited for the groups below `limit`.
    pub fn have_waited(&self, warps: u32, limit: u32) -> bool {
        let waited = &self.waited[..warps.min(WARPS) as usize];
        waited.iter().all(|groups| *groups >= limit)
    }

    /// All warps have exited. Warp of the warpgroup and line of an instruction that not all of `warps` have executed.
    pub fn unfinished(&self, warps: u32) -> Option<(u32, u32)> {
        let counts = &self.counts[..warps.min(WARPS) as usize];
        let least = counts.iter().min()?;
        let member = counts.iter().position(|count| count > least)?;
        let line = self.lines.get((least - self.first) as usize)?;
        Some((member as u32, *line))
    }
}
