//! Asynchronous operations: what is in flight, in which order it may happen, and its happening.
//!
//! Ordering rules (brief, 2.6; PTX ISA, 9.7.16.6): among the `tcgen05` operations of one thread everything stays in
//! order, except that two MMAs on different accumulators may swap. `mma` before `cp` is not in the ISA's list of
//! pipelined pairs; it is treated as ordered because every production compiler overwrites scale columns that way.
//! A commit follows everything before it. Between threads it is `tcgen05.fence` that orders. Copies have no order among
//! each other.

use super::agent::{AccessKind, Agent};
use super::cluster::ClusterState;
use super::fault::{Fault, FaultKind, Site};
use super::global::GlobalMemory;
use super::grid::Grid;
use super::mbarrier::SharedAddress;
use super::misuse::Rule;
use crate::check::{Ticket, multiply, require};
use crate::engine;
use crate::engine::descriptor::{CtaGroup, SharedMatrix};
use crate::engine::mma::{self, AOperand, Mma};
use crate::engine::tensor_map::TensorMap;
use crate::engine::tensor_memory::{CopyShape, Decompression};
use crate::engine::tma::{BoxCopy, Direction};
use crate::isa::Reduction;

/// How a tensor copy walks its map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BoxMode {
    Tile,
    /// `.tile::gather4` and `.tile::scatter4`.
    FourRows,
}

/// An operation with its operands, as they were when it was issued.
#[derive(Debug)]
pub(crate) enum Work {
    TensorLoad {
        map: Box<TensorMap>,
        coordinates: [i32; 5],
        count: usize,
        mode: BoxMode,
        dst: SharedAddress,
        barrier: SharedAddress,
        mask: Option<u16>,
        pair: bool,
    },
    TensorStore {
        map: Box<TensorMap>,
        coordinates: [i32; 5],
        count: usize,
        mode: BoxMode,
        src: SharedAddress,
        /// What a reduction does.
        operation: Option<&'static str>,
    },
    BulkLoad {
        dst: SharedAddress,
        src: u64,
        bytes: u32,
        barrier: SharedAddress,
        mask: Option<u16>,
    },
    BulkShared {
        dst: SharedAddress,
        src: SharedAddress,
        bytes: u32,
        barrier: SharedAddress,
        reduction: Option<Reduction>,
    },
    BulkStore {
        dst: u64,
        src: SharedAddress,
        bytes: u32,
        reduction: Option<Reduction>,
    },
    Small {
        dst: SharedAddress,
        src: u64,
        size: u32,
        valid: u32,
    },
    SmallArrive {
        barrier: SharedAddress,
    },
    Multiply(Box<Mma>),
    TensorCopy {
        group: CtaGroup,
        shape: CopyShape,
        decompression: Option<Decompression>,
        address: u32,
        matrix: u64,
    },
    TensorShift {
        group: CtaGroup,
        address: u32,
    },
    Commit {
        barrier: SharedAddress,
        mask: Option<u16>,
    },
}

/// An operation in flight.
#[derive(Debug)]
pub(crate) struct AsyncOp {
    pub agent: Agent,
    /// The thread's group counter when it was issued.
    pub group: u32,
    /// What the checks remember of it, if they are on.
    pub ticket: Option<Ticket>,
    pub work: Work,
}

impl Work {
    pub fn name(&self) -> &'static str {
        match self {
            Work::TensorLoad { .. } => "tensor load",
            Work::TensorStore {
                operation: Some(_), ..
            } => "tensor reduction",
            Work::TensorStore { .. } => "tensor store",
            Work::BulkShared {
                reduction: Some(_), ..
            }
            | Work::BulkStore {
                reduction: Some(_), ..
            } => "bulk reduction",
            Work::BulkLoad { .. } | Work::BulkShared { .. } => "bulk load",
            Work::BulkStore { .. } => "bulk store",
            Work::Small { .. } => "cp.async",
            Work::SmallArrive { .. } => "cp.async.mbarrier.arrive",
            Work::Multiply(_) => "tcgen05.mma",
            Work::TensorCopy { .. } => "tcgen05.cp",
            Work::TensorShift { .. } => "tcgen05.shift",
            Work::Commit { .. } => "tcgen05.commit",
        }
    }

    /// What is illegal whenever the operation may happen, so that it is found where it is issued.
    pub fn check(&self) -> Result<(), engine::Error> {
        match self {
            Work::TensorCopy { matrix, .. } => Ok(SharedMatrix::decode_sm100(*matrix).map(|_| ())?),
            Work::Multiply(mma) => {
                if let AOperand::Shared(matrix) = mma.a {
                    SharedMatrix::decode_sm100(matrix)?;
                }
                SharedMatrix::decode_sm100(mma.b)?;
                mma.decode().map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// Bulk copies are aligned (PTX ISA, 9.7.9.25.4).
    pub fn check_alignment(&self) -> Result<(), FaultKind> {
        match self {
            Work::BulkLoad {
                src: address,
                bytes,
                ..
            }
            | Work::BulkStore {
                dst: address,
                bytes,
                ..
            } => check_bulk(*address, *bytes),
            _ => Ok(()),
        }
    }

    fn is_tensor_core(&self) -> bool {
        matches!(
            self,
            Work::Multiply(_)
                | Work::TensorCopy { .. }
                | Work::TensorShift { .. }
                | Work::Commit { .. }
        )
    }

    /// True if it combines with what memory holds, element by element and atomically.
    pub fn reduces(&self) -> bool {
        matches!(
            self,
            Work::TensorStore {
                operation: Some(_),
                ..
            } | Work::BulkStore {
                reduction: Some(_),
                ..
            } | Work::BulkShared {
                reduction: Some(_),
                ..
            }
        )
    }

    /// `Some(bulk)` for members of bulk groups and of `cp.async` groups.
    fn group_kind(&self) -> Option<bool> {
        match self {
            Work::TensorStore { .. } | Work::BulkStore { .. } => Some(true),
            Work::Small { .. } => Some(false),
            _ => None,
        }
    }

    /// The barriers that hear of the completion.
    pub fn signals(&self) -> Vec<SharedAddress> {
        match self {
            Work::TensorLoad {
                dst,
                barrier,
                mask,
                pair,
                ..
            } => targets(*dst, *mask)
                .map(|d| barrier_of(d, *barrier, *mask, *pair))
                .collect(),
            Work::BulkLoad {
                dst, barrier, mask, ..
            } => targets(*dst, *mask)
                .map(|d| barrier_of(d, *barrier, *mask, false))
                .collect(),
            Work::BulkShared { barrier, .. } | Work::SmallArrive { barrier } => vec![*barrier],
            Work::Commit { barrier, mask, .. } => targets(*barrier, *mask).collect(),
            _ => Vec::new(),
        }
    }
}

/// The CTAs a copy or signal goes to: the same offset in every CTA of the mask, or just the one.
pub(crate) fn targets(at: SharedAddress, mask: Option<u16>) -> impl Iterator<Item = SharedAddress> {
    let mask = mask.map_or(1 << at.rank, u32::from);
    (0..16)
        .filter(move |rank| mask >> rank & 1 != 0)
        .map(move |rank| SharedAddress {
            rank,
            offset: at.offset,
        })
}

/// The barrier that a copy to `dst` signals. Multicast goes to the same offset in each destination CTA; with
/// `.cta_group::2` to the CTA of the destination's pair that the barrier address names.
fn barrier_of(
    dst: SharedAddress,
    barrier: SharedAddress,
    mask: Option<u16>,
    pair: bool,
) -> SharedAddress {
    let rank = match (mask, pair) {
        (None, _) => barrier.rank,
        (Some(_), true) => dst.rank & !1 | barrier.rank & 1,
        (Some(_), false) => dst.rank,
    };
    SharedAddress {
        rank,
        offset: barrier.offset,
    }
}

impl AsyncOp {
    /// True if `self` may only happen after `earlier`.
    fn follows(&self, earlier: &AsyncOp) -> bool {
        if self.agent.thread() != earlier.agent.thread() {
            let tickets = self.ticket.as_ref().zip(earlier.ticket.as_ref());
            return self.work.is_tensor_core() && tickets.is_some_and(|(a, b)| a.follows(b));
        }
        match (&self.work, &earlier.work) {
            (Work::Multiply(a), Work::Multiply(b)) => a.d == b.d || a.group != b.group,
            (Work::SmallArrive { .. }, Work::Small { .. }) => true,
            (a, b) => a.is_tensor_core() && b.is_tensor_core(),
        }
    }
}

impl ClusterState {
    /// True if nothing in flight has to come first.
    pub fn eligible(&self, index: usize) -> bool {
        let (earlier, rest) = self.queue.split_at(index);
        !earlier.iter().any(|e| rest[0].follows(e))
    }

    /// Executes the operation at `index` after everything that it must follow.
    pub fn run_with_prerequisites(&mut self, grid: &Grid<'_>, index: usize) -> Result<(), Fault> {
        let thread = |op: &AsyncOp| (op.agent, op.group);
        let last = thread(&self.queue[index]);
        let mut remaining = index + 1;
        loop {
            let target = remaining - 1;
            let Some(first) = (0..target).find(|&i| self.must_precede(i, target)) else {
                debug_assert_eq!(thread(&self.queue[target]), last);
                return self.run_queued(grid, target);
            };
            self.run_queued(grid, first)?;
            remaining -= 1;
        }
    }

    /// True if `first` comes before `target`, directly or through others.
    fn must_precede(&self, first: usize, target: usize) -> bool {
        self.queue[target].follows(&self.queue[first])
            || (first + 1..target).any(|middle| {
                self.queue[target].follows(&self.queue[middle])
                    && self.queue[middle].follows(&self.queue[first])
            })
    }

    /// Removes an operation from the queue and executes it.
    pub fn run_queued(&mut self, grid: &Grid<'_>, index: usize) -> Result<(), Fault> {
        let op = self.queue.remove(index);
        self.run(grid, &op)
    }

    /// The oldest operation that signals one of the barriers, if any.
    pub fn oldest_signalling(&self, barriers: &[SharedAddress]) -> Option<usize> {
        self.queue
            .iter()
            .position(|op| op.work.signals().iter().any(|b| barriers.contains(b)))
    }

    /// Where an agent stands, for a report.
    pub fn site(&self, agent: Agent) -> Site {
        let cta = self.ctas[agent.rank as usize].id;
        Site {
            line: agent.line,
            cta,
            warp: agent.warp,
            lane: Some(agent.lane),
        }
    }

    /// Executes an operation now.
    pub fn run(&mut self, grid: &Grid<'_>, op: &AsyncOp) -> Result<(), Fault> {
        self.progress += 1;
        self.perform(grid, op).map_err(|kind| {
            let site = self.site(op.agent);
            self.blame = Some(site.clone());
            Fault { kind, site }
        })
    }

    fn perform(&mut self, grid: &Grid<'_>, op: &AsyncOp) -> Result<(), FaultKind> {
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
                    self.check_shared_write(to, *bytes)?;
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
            } => {
                check_bulk(*dst, *bytes)?;
                self.check_shared(*src, *bytes, 16)?;
                self.check_defined(agent, *src, *bytes)?;
                let data = self.shared_read(agent, *src, AccessKind::AsyncLoad, *bytes)?;
                store(grid.global, *reduction, *dst, data)?;
                self.counts.bytes_stored += u64::from(*bytes);
                Ok(())
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
                decompression,
                address,
                matrix,
            } => {
                let matrix =
                    SharedMatrix::decode_sm100(*matrix).map_err(|e| FaultKind::engine(e.into()))?;
                for rank in self.group_ranks(agent, *group)? {
                    if self.check.on {
                        self.check.initialised[rank].copy(*shape, *address, &matrix, agent.line);
                    }
                    let cta = &mut self.ctas[rank];
                    cta.tensor
                        .copy(*shape, *decompression, *address, &cta.shared, &matrix)
                        .map_err(FaultKind::engine)?;
                }
                Ok(())
            }
            Work::TensorShift { group, address } => {
                for rank in self.group_ranks(agent, *group)? {
                    self.ctas[rank]
                        .tensor
                        .shift_down(*address)
                        .map_err(|e| FaultKind::engine(e.into()))?;
                }
                Ok(())
            }
        }
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
        _: Agent,
        map: &TensorMap,
        coordinates: &[i32],
        mode: BoxMode,
        to: SharedAddress,
    ) -> Result<u32, FaultKind> {
        self.check_shared(to, 0, 128)?;
        let window = self.ctas[to.rank as usize].shared.len() as u32;
        let copy = box_copy(map, coordinates, mode, to.offset, window, Direction::Load)?;
        self.check_shared_write(to, copy.shared_bytes())?;
        let shared = &mut self.ctas[to.rank as usize].shared;
        copy.load(shared, |address, out| grid.global.read(address, out))?;
        self.check.initialised[to.rank as usize].set(to.offset, copy.shared_bytes(), true);
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

    // ---- groups

    /// Closes the thread's current group.
    pub fn commit_group(&mut self, agent: Agent, bulk: bool) {
        *self.groups.entry((agent.thread(), bulk)).or_default() += 1;
    }

    /// The group that an operation issued now belongs to.
    pub fn current_group(&self, agent: Agent, work: &Work) -> u32 {
        let kind = work.group_kind().unwrap_or(false);
        self.groups
            .get(&(agent.thread(), kind))
            .copied()
            .unwrap_or(0)
    }

    /// Completes all groups of the thread but the `keep` youngest. `.read` waits only for the source to be read;
    /// here an operation reads and writes at one moment, so both mean the same.
    pub fn wait_group(
        &mut self,
        grid: &Grid<'_>,
        agent: Agent,
        bulk: bool,
        keep: u32,
        read: bool,
    ) -> Result<(), FaultKind> {
        let committed = self
            .groups
            .get(&(agent.thread(), bulk))
            .copied()
            .unwrap_or(0);
        self.complete_groups(grid, agent, bulk, committed.saturating_sub(keep), read)
    }

    /// Completes every `cp.async` of the thread, committed or not.
    pub fn wait_all(&mut self, grid: &Grid<'_>, agent: Agent) -> Result<(), FaultKind> {
        let open = self.groups.get(&(agent.thread(), false)).copied();
        self.complete_groups(grid, agent, false, open.unwrap_or(0) + 1, false)
    }

    /// Completes the thread's groups with numbers below `limit`.
    fn complete_groups(
        &mut self,
        grid: &Grid<'_>,
        agent: Agent,
        bulk: bool,
        limit: u32,
        read: bool,
    ) -> Result<(), FaultKind> {
        self.check.groups_completed(agent, bulk, limit, read);
        let due = |op: &AsyncOp| {
            op.agent.thread() == agent.thread()
                && op.work.group_kind() == Some(bulk)
                && op.group < limit
        };
        while let Some(index) = self.queue.iter().position(due) {
            self.run_queued(grid, index).map_err(|fault| fault.kind)?;
        }
        Ok(())
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

pub(crate) fn box_copy(
    map: &TensorMap,
    coordinates: &[i32],
    mode: BoxMode,
    shared: u32,
    window: u32,
    direction: Direction,
) -> Result<BoxCopy, FaultKind> {
    match mode {
        BoxMode::Tile => BoxCopy::tiled(map, coordinates, shared, window, direction),
        BoxMode::FourRows => BoxCopy::four_rows(map, coordinates, shared, window, direction),
    }
    .map_err(|e| FaultKind::engine(e.into()))
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
fn check_bulk(global: u64, bytes: u32) -> Result<(), FaultKind> {
    check_alignment("global", global, 16)?;
    if !bytes.is_multiple_of(16) {
        return Err(FaultKind::Operand(format!(
            "bulk copy of {bytes} bytes, not a multiple of 16"
        )));
    }
    Ok(())
}
