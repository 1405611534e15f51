//! `tcgen05.ld` and `tcgen05.st`: issued, and delivered later.

use super::Step;
use crate::engine::tensor_memory::Access;
use crate::isa::{LoadReduction, Slot, Src};
use crate::machine::fault::FaultKind;
use crate::machine::in_flight::InFlight;
use crate::machine::warp::Transfer;

impl Step<'_> {
    /// `tcgen05.ld`: the registers are poisoned until the data arrives, at `tcgen05.wait::ld` at the latest.
    pub fn tensor_load(
        &mut self,
        access: Access,
        address: u32,
        registers: &[Slot],
        reduction: Option<LoadReduction>,
    ) -> Result<(), FaultKind> {
        self.check_transfer(&access, address, false)?;
        let results = registers.iter().copied();
        let results: Vec<Slot> = results.chain(reduction.map(|r| r.slot)).collect();
        if self.state.check.on {
            self.warp.in_flight.push(InFlight {
                group: None,
                results: results.clone(),
                operands: Vec::new(),
                passed: false,
                line: self.line,
                lane: self.mask.trailing_zeros() & 31,
            });
            let (rank, warp) = (self.warp.rank, self.warp.index);
            self.state.check.load_issued(rank, warp, registers);
        }
        let transfer = Transfer {
            access,
            address,
            registers: registers.to_vec(),
            reduction,
            values: Vec::new(),
            undefined: Vec::new(),
            line: self.line,
        };
        if self.state.policy.at_once() {
            return self.deliver(&transfer);
        }
        for slot in results {
            self.set(slot, &[u64::from(crate::engine::tensor_memory::POISON); 32]);
        }
        self.warp.transfers.push(transfer);
        Ok(())
    }

    /// `tcgen05.st`: happens at `tcgen05.wait::st` at the latest.
    pub fn tensor_store(
        &mut self,
        access: Access,
        address: u32,
        sources: &[Src],
    ) -> Result<(), FaultKind> {
        self.check_transfer(&access, address, true)?;
        let values = sources
            .iter()
            .flat_map(|s| self.get(*s).map(|v| v as u32))
            .collect();
        let transfer = Transfer {
            access,
            address,
            registers: Vec::new(),
            reduction: None,
            values,
            undefined: sources
                .iter()
                .map(|s| self.warp.defined.undefined(*s).0)
                .collect(),
            line: self.line,
        };
        if self.state.policy.at_once() {
            return self.deliver(&transfer);
        }
        self.warp.transfers.push(transfer);
        Ok(())
    }

    /// `tcgen05.wait::ld` or `::st`.
    pub fn finish_transfers(&mut self, stores: bool) -> Result<(), FaultKind> {
        if !stores {
            self.warp.loads_arrived();
        }
        let (rank, warp) = (self.warp.rank, self.warp.index);
        self.state
            .check
            .transfers_completed(rank, warp, self.mask, stores);
        let all = std::mem::take(&mut self.warp.transfers);
        let (due, later) = all
            .into_iter()
            .partition(|t| t.registers.is_empty() == stores);
        self.warp.transfers = later;
        let due: Vec<Transfer> = due;
        due.iter().try_for_each(|transfer| self.deliver(transfer))
    }

    pub fn deliver(&mut self, transfer: &Transfer) -> Result<(), FaultKind> {
        let (rank, index) = (self.warp.rank as usize, self.warp.index);
        let engine =
            |e: crate::engine::tensor_memory::TensorMemoryError| FaultKind::engine(e.into());
        let Transfer {
            access,
            address,
            registers,
            values,
            ..
        } = transfer;
        if registers.is_empty() {
            if self.state.check.on {
                self.state.check.initialised[rank].store(
                    access,
                    *address,
                    &transfer.undefined,
                    transfer.line,
                );
            }
            return self.state.ctas[rank]
                .tensor
                .store(access, *address, index, values)
                .map_err(engine);
        }
        let mut words = std::mem::take(&mut self.state.scratch);
        words.clear();
        words.resize(registers.len() * 32, 0);
        let loaded = self.state.ctas[rank]
            .tensor
            .load(access, *address, index, &mut words)
            .map_err(engine);
        for (slot, values) in registers.iter().zip(words.chunks_exact(32)) {
            self.set(*slot, &std::array::from_fn(|lane| values[lane].into()));
        }
        if let Some(reduction) = &transfer.reduction {
            self.set(reduction.slot, &reduction.apply(&words));
        }
        self.state.scratch = words;
        if self.state.check.on {
            let undefined = self.state.check.initialised[rank].load(access, *address);
            let mut any = (0, 0);
            for (slot, (lanes, origin)) in registers.iter().zip(undefined) {
                let origin = if origin == 0 { transfer.line } else { origin };
                self.warp.defined.define(*slot, self.mask, lanes, origin);
                any = (any.0 | lanes, any.1.max(origin));
            }
            if let Some(reduction) = &transfer.reduction {
                let (lanes, origin) = any;
                let registers = &mut self.warp.defined;
                registers.define(reduction.slot, self.mask, lanes, origin);
            }
        }
        loaded
    }
}
