//! `wgmma` operations in flight: each warp keeps its own queue, in order, by groups.
//!
//! Until an operation happens, at `wgmma.wait_group` at the latest, its result registers hold poison and its register
//! operands of A must not change. (A is taken at the issue: see `InFlight::passed` for those that do.)

use super::fault::{FaultKind, Site};
use super::in_flight::InFlight;
use super::step::{Flow, Step};
use super::warp::Wait;
use super::warpgroup_log::{self, Together};
use crate::check::warpgroup_footprint;
use crate::engine::descriptor::SharedMatrix;
use crate::engine::mma::wgmma::{AOperand, Wgmma};
use crate::engine::tensor_memory::POISON;
use crate::isa::{Metadata, Operands, Slot, Src};

/// Warps of a warpgroup.
const WARPS: usize = warpgroup_log::WARPS as usize;

/// The queue of a warp.
#[derive(Default)]
pub(crate) struct Warpgroup {
    /// Groups committed so far.
    pub committed: u32,
    pending: Vec<Pending>,
    /// What accumulators held when the first of the pending operations on them was issued.
    inputs: Vec<(Vec<Slot>, Vec<[u64; 32]>)>,
    /// Fences so far, and for each register where it was last written, and behind how many of them.
    fences: u32,
    /// How many fences there had been at the latest commit.
    fences_at_commit: u32,
    written: Vec<(u32, u32)>,
}

impl Warpgroup {
    /// An MMA has not happened yet.
    pub fn is_busy(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The youngest group with an MMA that will write one of the registers.
    pub fn group_of(&self, registers: &[Slot]) -> Option<u32> {
        let writes = |p: &&Pending| p.d.iter().any(|slot| registers.contains(slot));
        self.pending.iter().filter(writes).map(|p| p.group).max()
    }

    /// `wgmma.fence`.
    pub fn fence(&mut self) {
        self.fences += 1;
    }

    /// An ordinary instruction writes registers.
    pub fn note_writes(&mut self, registers: &[Slot], line: u32) {
        for &slot in registers {
            let index = slot as usize;
            if self.written.len() <= index {
                self.written.resize(index + 1, (0, 0));
            }
            self.written[index] = (self.fences, line);
        }
    }

    /// A `mov` writes registers. Compilers sink moves below the fence that belongs to their MMAs, and ptxas, which renames
    /// registers, keeps their order: between that fence and the MMAs, what was there before it counts.
    pub fn note_moves(&mut self, registers: &Operands, line: u32) {
        if self.fences == self.fences_at_commit {
            return self.note_writes(&registers.writes, line);
        }
        let place = |slot: &Slot| self.written.get(*slot as usize).copied();
        let youngest = registers.reads.iter().filter_map(place).max();
        let (fences, line) = youngest.unwrap_or_default();
        self.note_writes(&registers.writes, line);
        for &slot in &registers.writes {
            self.written[slot as usize].0 = fences;
        }
    }

    /// `wgmma.commit_group`.
    pub fn commit(&mut self) {
        self.committed += 1;
        self.fences_at_commit = self.fences;
    }

    /// Where one of the registers was written since the latest fence.
    fn unfenced(&self, mut registers: impl Iterator<Item = Slot>) -> Option<u32> {
        registers.find_map(|slot| match self.written.get(slot as usize) {
            Some((fences, line)) if *fences == self.fences && *line > 0 => Some(*line),
            _ => None,
        })
    }
}

struct Pending {
    group: u32,
    operation: Wgmma,
    d: Vec<Slot>,
    /// Descriptor of A, or none for registers.
    descriptor: Option<u64>,
    /// The registers of A, as they were when the operation was issued.
    a: Vec<[u64; 32]>,
    b: u64,
    metadata: Option<Metadata>,
}

impl Step<'_> {
    /// Issues a `wgmma.mma_async` of this warp.
    pub fn warpgroup_multiply(
        &mut self,
        operation: Wgmma,
        d: &[Slot],
        descriptor: Option<u64>,
        a: Vec<Src>,
        b: u64,
        metadata: Option<Metadata>,
    ) -> Result<(), FaultKind> {
        let group = self.warp.warpgroup.committed;
        let strict = self.state.check.strict;
        let check = |bits| {
            let matrix = SharedMatrix::decode_sm90(bits)?;
            if strict {
                matrix.check_pattern()
            } else {
                Ok(())
            }
        };
        let checked = descriptor.map_or(Ok(()), check).and_then(|()| check(b));
        checked.map_err(|e| FaultKind::engine(e.into()))?;
        self.warpgroup_executes(Together::Multiply)?;
        if self.state.check.on {
            let held: Vec<_> = a
                .iter()
                .copied()
                .chain(metadata.map(|m| m.source()))
                .collect();
            self.check_fenced(d, &held, operation.accumulate)?;
            let agent = self.agent(self.mask.trailing_zeros() as usize & 31);
            let touches = warpgroup_footprint(&operation, descriptor, b, self.warp.rank);
            self.state
                .check
                .warpgroup(agent, self.mask, group, &touches)?;
            let registers = held.iter().filter_map(|src| match src {
                Src::Reg(slot) => Some(*slot),
                _ => None,
            });
            self.warp.in_flight.push(InFlight {
                group: Some(group),
                results: d.to_vec(),
                operands: registers.collect(),
                passed: false,
                line: self.line,
                lane: 0,
            });
        }
        let pending = Pending {
            group,
            operation,
            d: d.to_vec(),
            descriptor,
            a: a.iter().map(|src| self.get(*src)).collect(),
            b,
            metadata,
        };
        if self.warp.warpgroup.pending.is_empty() && self.state.policy.at_once() {
            return self.multiply_now(&pending);
        }
        if !self
            .warp
            .warpgroup
            .inputs
            .iter()
            .any(|(slots, _)| slots == d)
        {
            let values = d.iter().map(|slot| self.get(Src::Reg(*slot))).collect();
            self.warp.warpgroup.inputs.push((d.to_vec(), values));
            d.iter()
                .for_each(|slot| self.set(*slot, &[POISON.into(); 32]));
        }
        self.warp.warpgroup.pending.push(pending);
        Ok(())
    }

    /// What all warps of the warpgroup must execute.
    pub fn warpgroup_executes(&mut self, what: Together) -> Result<(), FaultKind> {
        let (warp, line) = (self.warp.index, self.line);
        let logs = &mut self.state.ctas[self.warp.rank as usize].warpgroups;
        logs[(warp / WARPS as u32) as usize][what as usize].record(warp, line, what)
    }

    /// Registers that the MMA reads must not have been written since the latest fence.
    fn check_fenced(&self, d: &[Slot], a: &[Src], reads_d: bool) -> Result<(), FaultKind> {
        let operands = a.iter().filter_map(|src| match src {
            Src::Reg(slot) => Some(*slot),
            _ => None,
        });
        let accumulators = d.iter().copied().filter(|_| reads_d);
        match self.warp.warpgroup.unfenced(operands.chain(accumulators)) {
            None => Ok(()),
            Some(line) => Err(FaultKind::MissingWgmmaFence(Box::new(Site {
                line,
                cta: self.state.ctas[self.warp.rank as usize].id,
                warp: self.warp.index,
                lane: None,
            }))),
        }
    }

    /// Completes all groups but the `keep` youngest.
    pub fn finish_warpgroup(&mut self, keep: u32) -> Result<(), FaultKind> {
        self.warp
            .in_flight
            .iter_mut()
            .for_each(|op| op.passed = true);
        self.finish_groups(self.warp.warpgroup.committed.saturating_sub(keep))
    }

    /// The other warps of the warpgroup must have waited for the same groups. Then their shares are complete, too.
    pub fn wait_for_warpgroup(&mut self, keep: u32) -> Flow {
        let groups = self.warp.warpgroup.committed.saturating_sub(keep);
        let (rank, warp) = (self.warp.rank, self.warp.index);
        let cta = &mut self.state.ctas[rank as usize];
        if cta.warpgroups[(warp / WARPS as u32) as usize][Together::Multiply as usize]
            .waited(warp, groups)
        {
            self.state.progress += 1;
        }
        if !cta.warpgroup_has_waited(warp, groups) {
            return Flow::Wait(Wait::Warpgroup { groups });
        }
        let (check, mask) = (&mut self.state.check, self.mask);
        check.warpgroup_completed_together(rank, warp, mask, groups);
        Flow::Next
    }

    /// Completes the groups below `limit`. Accumulators of operations that stay pending stay poisoned.
    pub fn finish_groups(&mut self, limit: u32) -> Result<(), FaultKind> {
        self.warp.groups_arrived(limit);
        let (rank, warp) = (self.warp.rank, self.warp.index);
        self.state
            .check
            .warpgroup_completed(rank, warp, self.mask, limit);
        let all = std::mem::take(&mut self.warp.warpgroup.pending);
        let (due, later): (Vec<_>, Vec<_>) = all.into_iter().partition(|p| p.group < limit);
        let mut inputs = std::mem::take(&mut self.warp.warpgroup.inputs);
        for operation in &due {
            self.restore(&mut inputs, &operation.d);
            self.multiply_now(operation)?;
        }
        for operation in &later {
            if !inputs.iter().any(|(slots, _)| *slots == operation.d) {
                let values = operation
                    .d
                    .iter()
                    .map(|slot| self.get(Src::Reg(*slot)))
                    .collect();
                inputs.push((operation.d.clone(), values));
                operation
                    .d
                    .iter()
                    .for_each(|slot| self.set(*slot, &[POISON.into(); 32]));
            }
        }
        self.warp.warpgroup.pending = later;
        self.warp.warpgroup.inputs = inputs;
        Ok(())
    }

    /// Puts an accumulator's input back into its registers.
    fn restore(&mut self, inputs: &mut Vec<(Vec<Slot>, Vec<[u64; 32]>)>, d: &[Slot]) {
        if let Some(index) = inputs.iter().position(|(slots, _)| slots == d) {
            let (slots, values) = inputs.remove(index);
            slots
                .iter()
                .zip(&values)
                .for_each(|(slot, values)| self.set(*slot, values));
        }
    }

    /// Computes the whole operation and keeps this warp's rows; those of the other warps are computed on zeros.
    fn multiply_now(&mut self, p: &Pending) -> Result<(), FaultKind> {
        let warp = self.warp.index as usize % WARPS;
        let count = p.d.len();
        let mut d = vec![0u32; WARPS * 32 * count];
        for (i, slot) in p.d.iter().enumerate() {
            let values = self.get(Src::Reg(*slot));
            (0..32).for_each(|lane| d[(warp * 32 + lane) * count + i] = values[lane] as u32);
        }
        let mut registers = vec![0u32; WARPS * 32 * 4];
        for (i, values) in p.a.iter().enumerate() {
            (0..32).for_each(|lane| registers[(warp * 32 + lane) * 4 + i] = values[lane] as u32);
        }
        let a = p
            .descriptor
            .map_or(AOperand::Registers(&registers), AOperand::Shared);
        let places = p.metadata.map(|m| m.places(self)).transpose()?;
        let shared = &self.state.ctas[self.warp.rank as usize].shared;
        match p.metadata.zip(places) {
            None => p.operation.execute(a, p.b, shared, &mut d),
            Some((metadata, places)) => {
                let length = p.operation.row_of_b();
                let meet =
                    |row: usize, b: &[u8]| metadata.meet(&places[row], b, length, length / 2);
                p.operation
                    .execute_sparse(a, p.b, shared, warp, meet, &mut d)
            }
        }
        .map_err(FaultKind::engine)?;
        if warp == 0 {
            self.state.counts.mmas += 1;
        }
        for (i, slot) in p.d.iter().enumerate() {
            self.set(
                *slot,
                &std::array::from_fn(|lane| d[(warp * 32 + lane) * count + i].into()),
            );
        }
        Ok(())
    }
}
