//! Asynchronous operations happening.

use super::agent::{AccessKind, Agent};
use super::backlog::CancelResponse;
use super::cluster::ClusterState;
use super::fault::FaultKind;
use super::global::GlobalMemory;
use super::grid::Grid;
use super::mbarrier::SharedAddress;
use super::misuse::Rule;
use super::schedule::Schedule;
use super::work::{AsyncOp, BoxMode, Deposit, Work, barrier_of, box_copy, masked_runs, targets};
use crate::check::{multiply, require};
use crate::engine::descriptor::{CtaGroup, SharedMatrix};
use crate::engine::mma::{self, Mma};
use crate::engine::tensor_map::TensorMap;
use crate::engine::tma::Direction;
use crate::isa::Reduction;

impl ClusterState {
    pub(super) fn perform(&mut self, grid: &Grid<'_>, op: &AsyncOp) -> Result<(), FaultKind> {
        let (agent, ticket) = (op.agent, op.ticket.as_ref());
        match &op.work {
            Work::TensorLoad {
                map,
                coordinates,
                count,
                mode,
                dst,
                barrier,
                mask,
                pair,
            } => {
                for (index, to) in targets(*dst, *mask).enumerate() {
                    let bytes =
                        self.tensor_load(grid, agent, map, &coordinates[..*count], *mode, to)?;
                    self.check.copy_arrived(ticket, index);
                    self.barrier_expect(
                        agent,
                        barrier_of(to, *barrier, *mask, *pair),
                        -i64::from(bytes),
                    )?;
                }
                Ok(())
            }
            Work::TensorStore {
                map,
                coordinates,
                count,
                mode,
                src,
                operation,
            } => {
                let reduction = operation.map(|operation| {
                    Reduction::of_tensor(operation, map.element).ok_or_else(|| {
                        FaultKind::Operand(format!("no .{operation} of {:?} elements", map.element))
                    })
                });
                let reduction = reduction.transpose()?;
                self.tensor_store(
                    grid,
                    agent,
                    (map, *mode, reduction),
                    &coordinates[..*count],
                    *src,
                )
            }
            Work::BulkLoad {
                dst,
                src,
                bytes,
                barrier,
                mask,
            } => {
                check_bulk(*src, *bytes)?;
                for (index, to) in targets(*dst, *mask).enumerate() {
                    self.check_shared(to, *bytes, 16)?;
                    self.check_shared_write(agent, to, *bytes)?;
                    let start = to.offset as usize;
                    grid.global.read(
                        *src,
                        &mut self.ctas[to.rank as usize].shared[start..start + *bytes as usize],
                    )?;
                    self.counts.bytes_loaded += u64::from(*bytes);
                    self.check.initialised[to.rank as usize].set(to.offset, *bytes, true);
                    self.check.copy_arrived(ticket, index);
                    self.barrier_expect(
                        agent,
                        barrier_of(to, *barrier, *mask, false),
                        -i64::from(*bytes),
                    )?;
                }
                Ok(())
            }
            Work::BulkShared {
                dst,
                src,
                bytes,
                barrier,
                reduction,
            } => {
                check_bulk(0, *bytes)?;
                self.check_shared(*src, *bytes, 16)?;
                self.check_shared(*dst, *bytes, 16)?;
                let mut data = self
                    .shared_read(agent, *src, AccessKind::AsyncLoad, *bytes)?
                    .to_vec();
                if let Some(reduction) = reduction {
                    let old = self.shared_read(agent, *dst, AccessKind::AsyncLoad, *bytes)?;
                    let mut new = old.to_vec();
                    reduction.apply(&mut new, &data);
                    data = new;
                }
                self.shared_write(agent, *dst, AccessKind::AsyncStore, &data)?;
                self.check.copy_arrived(ticket, 0);
                self.barrier_expect(agent, *barrier, -i64::from(*bytes))
            }
            Work::BulkStore {
                dst,
                src,
                bytes,
                reduction,
                mask,
            } => {
                check_bulk(*dst, *bytes)?;
                self.check_shared(*src, *bytes, 16)?;
                for (offset, len) in masked_runs(*bytes, *mask) {
                    let from = src.offset_by(offset);
                    self.check_defined(agent, from, len)?;
                    let data = self.shared_read(agent, from, AccessKind::AsyncLoad, len)?;
                    store(grid.global, *reduction, *dst + u64::from(offset), data)?;
                    self.counts.bytes_stored += u64::from(len);
                }
                Ok(())
            }
            Work::Cancel { dst, barrier, mask } => {
                let response = self.cancel(grid).to_bytes();
                for (index, to) in targets(*dst, *mask).enumerate() {
                    self.shared_write(agent, to, AccessKind::AsyncStore, &response)?;
                    self.check.copy_arrived(ticket, index);
                    let at = barrier_of(to, *barrier, *mask, false);
                    self.barrier_expect(agent, at, -i64::from(CancelResponse::BYTES))?;
                }
                Ok(())
            }
            Work::Deposit(deposit) => {
                self.deposit(agent, deposit)?;
                self.check.copy_arrived(ticket, 0);
                self.barrier_expect(agent, deposit.barrier, -i64::from(deposit.len))
            }
            Work::Small {
                dst,
                src,
                size,
                valid,
            } => {
                let mut data = [0; 16];
                check_alignment("global", *src, *size)?;
                self.check_shared(*dst, *size, *size)?;
                // With nothing to read the source address means nothing: compilers pass wild ones for masked rows.
                if *valid > 0 {
                    grid.global.read(*src, &mut data[..*valid as usize])?;
                }
                self.shared_write(agent, *dst, AccessKind::AsyncStore, &data[..*size as usize])
            }
            Work::SmallArrive { barrier } => {
                self.check.completion_arrived(ticket, *barrier);
                self.barrier_arrive(*barrier, 1, false).map(|_| ())
            }
            Work::Commit { barrier, mask, .. } => targets(*barrier, *mask).try_for_each(|to| {
                self.check.completion_arrived(ticket, to);
                self.barrier_commit(to)
            }),
            Work::Multiply(mma) => {
                self.multiply(agent, mma)?;
                if self.check.on {
                    multiply(&mut self.check.initialised, mma, agent.rank, agent.line);
                }
                Ok(())
            }
            Work::TensorCopy {
                group,
                shape,
                address,
                matrix,
                expands,
            } => {
                let matrix =
                    SharedMatrix::decode_sm100(*matrix).map_err(|e| FaultKind::engine(e.into()))?;
                for rank in self.group_ranks(agent, *group)? {
                    if self.check.on {
                        self.check.initialised[rank].copy(
                            (*shape, *expands),
                            *address,
                            &matrix,
                            agent.line,
                        );
                    }
                    let cta = &mut self.ctas[rank];
                    cta.tensor
                        .copy(*shape, *address, &cta.shared, &matrix, *expands)
                        .map_err(FaultKind::engine)?;
                }
                Ok(())
            }
        }
    }

    /// Keeps a cluster from starting. A device may refuse although there is one left.
    fn cancel(&mut self, grid: &Grid<'_>) -> CancelResponse {
        let random = matches!(self.policy.schedule, Schedule::Random(_));
        if random && self.policy.below(16) == 0 {
            return CancelResponse(None);
        }
        let cluster = grid.backlog.take();
        CancelResponse(cluster.map(|index| grid.cta_ids(index)[0]))
    }

    fn deposit(&mut self, agent: Agent, deposit: &Deposit) -> Result<(), FaultKind> {
        let (dst, len) = (deposit.dst, deposit.len);
        self.check_shared(dst, len, len)?;
        let (mut bytes, mut defined) = (deposit.bytes, deposit.defined);
        let bytes = &mut bytes[..len as usize];
        if let Some(reduction) = deposit.reduction {
            let mut combined = [0; 16];
            let combined = &mut combined[..bytes.len()];
            combined.copy_from_slice(self.shared_read(agent, dst, AccessKind::AsyncLoad, len)?);
            reduction.apply(combined, bytes);
            bytes.copy_from_slice(combined);
            defined &= self.check.initialised[dst.rank as usize].is_set(dst.offset, len);
        }
        self.shared_write(agent, dst, AccessKind::AsyncStore, bytes)?;
        self.check.initialised[dst.rank as usize].set(dst.offset, len, defined);
        Ok(())
    }

    /// The CTAs of a tensor-core operation: one's own, or the pair with the even rank first (brief, 1.6).
    fn group_ranks(
        &self,
        agent: Agent,
        group: CtaGroup,
    ) -> Result<std::ops::Range<usize>, FaultKind> {
        let own = agent.rank as usize;
        match group {
            CtaGroup::One => Ok(own..own + 1),
            CtaGroup::Two if (own | 1) < self.ctas.len() => Ok(own & !1..(own | 1) + 1),
            CtaGroup::Two => Err(FaultKind::Illegal(
                Rule::Operand,
                "cta_group::2 needs the other CTA of the pair in the cluster".into(),
            )),
        }
    }

    fn multiply(&mut self, agent: Agent, mma: &Mma) -> Result<(), FaultKind> {
        let ranks = self.group_ranks(agent, mma.group)?;
        self.counts.mmas += 1;
        match &mut self.ctas[ranks] {
            [one] => mma.execute(&mut [mma::Cta {
                shared: &one.shared,
                tensor: &mut one.tensor,
            }]),
            [even, odd, ..] => mma.execute(&mut [
                mma::Cta {
                    shared: &even.shared,
                    tensor: &mut even.tensor,
                },
                mma::Cta {
                    shared: &odd.shared,
                    tensor: &mut odd.tensor,
                },
            ]),
            [] => Ok(()),
        }
        .map_err(FaultKind::engine)
    }

    /// Runs a tensor load into one CTA and returns the bytes that `complete_tx` counts.
    fn tensor_load(
        &mut self,
        grid: &Grid<'_>,
        agent: Agent,
        map: &TensorMap,
        coordinates: &[i32],
        mode: BoxMode,
        to: SharedAddress,
    ) -> Result<u32, FaultKind> {
        self.check_shared(to, 0, 128)?;
        let window = self.ctas[to.rank as usize].shared.len() as u32;
        let copy = box_copy(map, coordinates, mode, to.offset, window, Direction::Load)?;
        self.check_shared_write(agent, to, copy.shared_bytes())?;
        let shared = &mut self.ctas[to.rank as usize].shared;
        copy.load(shared, |address, out| grid.global.read(address, out))?;
        for (from, len) in copy.image() {
            self.check.initialised[to.rank as usize].set(to.offset + from, len, true);
        }
        let bytes = copy.transaction_bytes();
        self.counts.bytes_loaded += u64::from(bytes);
        Ok(bytes)
    }

    fn tensor_store(
        &mut self,
        grid: &Grid<'_>,
        agent: Agent,
        (map, mode, reduction): (&TensorMap, BoxMode, Option<Reduction>),
        coordinates: &[i32],
        from: SharedAddress,
    ) -> Result<(), FaultKind> {
        self.check_shared(from, 0, 128)?;
        let shared = &self.ctas[from.rank as usize].shared;
        let copy = box_copy(
            map,
            coordinates,
            mode,
            from.offset,
            shared.len() as u32,
            Direction::Store,
        )?;
        for piece in copy.pieces() {
            let at = SharedAddress {
                offset: piece.shared,
                ..from
            };
            self.check_defined(agent, at, piece.len)?;
        }
        let mut stored = 0;
        copy.store(shared, |address, bytes| {
            stored += bytes.len() as u64;
            store(grid.global, reduction, address, bytes)
        })?;
        self.counts.bytes_stored += stored;
        Ok(())
    }

    /// What leaves for global memory must be defined.
    fn check_defined(&self, agent: Agent, at: SharedAddress, len: u32) -> Result<(), FaultKind> {
        if !self.check.on || self.check.initialised[at.rank as usize].is_set(at.offset, len) {
            return Ok(());
        }
        let lanes = (1 << agent.lane, agent.line);
        require(
            lanes,
            u32::MAX,
            "the source of a copy to global memory",
            &|| self.site(agent),
        )
    }
}

/// Writes to global memory, or combines with what is there.
fn store(
    memory: &GlobalMemory,
    reduction: Option<Reduction>,
    address: u64,
    bytes: &[u8],
) -> Result<(), FaultKind> {
    let Some(reduction) = reduction else {
        return memory.write(address, bytes);
    };
    let mut combined = vec![0; bytes.len()];
    memory.read(address, &mut combined)?;
    reduction.apply(&mut combined, bytes);
    memory.write(address, &combined)
}

fn check_alignment(space: &'static str, address: u64, needed: u32) -> Result<(), FaultKind> {
    if !address.is_multiple_of(u64::from(needed)) {
        return Err(FaultKind::Misaligned {
            space,
            address,
            needed: needed.into(),
        });
    }
    Ok(())
}

/// Address and size of a bulk copy are multiples of 16 (PTX ISA, 9.7.9.25.4).
pub(super) fn check_bulk(global: u64, bytes: u32) -> Result<(), FaultKind> {
    check_alignment("global", global, 16)?;
    if !bytes.is_multiple_of(16) {
        return Err(FaultKind::Operand(format!(
            "bulk copy of {bytes} bytes, not a multiple of 16"
        )));
    }
    Ok(())
}
