//! Which loads of tensor memory have ended without `tcgen05.wait::ld`.
//!
//! The machine respects true dependencies: an instruction that uses what `tcgen05.ld` has loaded waits for it. From then
//! on the columns are free for others who are told so, as they are behind `wait::ld`; CuTe's epilogues give tensor memory
//! back without any other wait. A `mov` is no use: assemblers rename registers, so what it copies is followed instead.
//! Loads of a warp are taken to end in order, and the strict checks want the wait.

use super::Check;
use super::stream::Key;
use crate::isa::{Operands, Role, Slot};

/// A load whose values nobody has used: its number among those of its warp, and the registers that hold them.
pub(super) struct Load {
    number: u32,
    registers: Vec<Slot>,
}

impl Load {
    fn is_in(&self, slots: &[Slot]) -> bool {
        slots.iter().any(|slot| self.registers.contains(slot))
    }

    /// A move takes some of the values elsewhere.
    fn follow(&mut self, registers: &Operands) {
        if self.is_in(&registers.reads) {
            self.registers.extend(&registers.writes);
        } else {
            self.registers
                .retain(|slot| !registers.writes.contains(slot));
        }
    }
}

impl Check {
    /// A warp has issued a tcgen05.ld into these registers.
    pub fn load_issued(&mut self, rank: u32, warp: u32, registers: &[Slot]) {
        if !self.on || self.strict {
            return;
        }
        let local = self.local(rank, warp);
        let number = self.last(self.stream(Key::Load(local as u32)));
        self.warps[local].loads.push(Load {
            number,
            registers: registers.to_vec(),
        });
    }

    /// An instruction of the warp takes its registers: loads that it depends on have ended.
    pub fn uses_loads(&mut self, rank: u32, warp: u32, registers: &Operands, role: Role) {
        let local = self.local(rank, warp);
        let loads = &mut self.warps[local].loads;
        if loads.is_empty() {
            return;
        }
        if role == Role::Move {
            loads.iter_mut().for_each(|load| load.follow(registers));
            return;
        }
        let before = loads.len();
        loads.retain(|load| !load.is_in(&registers.reads) && !load.is_in(&registers.addresses));
        if loads.len() < before {
            let first = loads.first().map(|load| load.number);
            let stream = self.stream(Key::Load(local as u32));
            let ended = first.map_or_else(|| self.last(stream), |number| number - 1);
            self.update(rank, warp, u32::MAX, |thread, _| {
                thread.completed(stream, ended)
            });
        }
    }

    /// tcgen05.wait::ld.
    pub(super) fn forget_loads(&mut self, rank: u32, warp: u32) {
        let local = self.local(rank, warp);
        self.warps[local].loads.clear();
    }
}
