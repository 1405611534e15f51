//! Registers that an operation in flight will write: an instruction that touches them has to wait for it.
//!
//! `tcgen05.ld`: a true dependency through a register is respected without any wait (PTX ISA, 9.7.16.6.4), and
//! compilers move the first uses of loaded values above `tcgen05.wait::ld`. What is wrong without the wait is to let
//! others overwrite the tensor memory.
//!
//! `wgmma`: accumulators belong to the operation until `wgmma.wait_group`. A plain `mov` from them is no use yet:
//! compilers unpack f16 accumulators before the wait, and the assembler puts a wait in front (ptxas, message C7517).

use super::fault::FaultKind;
use super::step::Step;
use crate::isa::{Operands, Slot};

fn mentions(operands: &Operands, slots: &[Slot]) -> bool {
    [&operands.reads, &operands.writes, &operands.addresses]
        .into_iter()
        .flatten()
        .any(|slot| slots.contains(slot))
}

impl Step<'_> {
    /// Completes what the instruction depends on. `is_move`: it is a `mov`.
    pub fn respect_dependencies(
        &mut self,
        operands: &Operands,
        is_move: bool,
    ) -> Result<(), FaultKind> {
        // Operations in flight are those of the whole warp, the instruction may be one of a part.
        let mask = std::mem::replace(&mut self.mask, self.warp.live);
        let done = self
            .finish_loads_into(operands)
            .and_then(|()| match is_move {
                true => self.finish_accumulators(operands),
                false => Ok(()),
            });
        self.mask = mask;
        done
    }

    fn finish_loads_into(&mut self, operands: &Operands) -> Result<(), FaultKind> {
        let all = std::mem::take(&mut self.warp.transfers);
        let (due, later): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|t| mentions(operands, &t.registers));
        self.warp.transfers = later;
        due.iter().try_for_each(|transfer| self.deliver(transfer))
    }

    fn finish_accumulators(&mut self, operands: &Operands) -> Result<(), FaultKind> {
        let mut accumulators = self.warp.warpgroup.accumulators();
        if accumulators.any(|d| mentions(operands, d)) {
            drop(accumulators);
            self.finish_groups_below(u32::MAX)?;
        }
        Ok(())
    }
}
