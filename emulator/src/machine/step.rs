//! One instruction of one fragment: the view of the machine that an instruction gets.

use super::agent::{AccessKind, Agent};
use super::cluster::{ClusterState, Reduction};
use super::fault::FaultKind;
use super::grid::Grid;
use super::in_flight::InFlight;
use super::mbarrier::SharedAddress;
use super::warp::{Transfer, Wait, Warp};
use super::window::{self, Window};
use super::work::{AsyncOp, Work};
use crate::check::{Semantics, digest};
use crate::engine::tensor_map::TensorMap;
use crate::engine::tensor_memory::Access;
use crate::isa::{Addr, Slot, Src, truncate};

/// A state space of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    Generic,
    Global,
    Shared,
    SharedCluster,
    Const,
    Local,
    Param,
}

/// What happens after an instruction.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Flow {
    Next,
    Jump(u32),
    /// Targets and the lanes that go there.
    Scatter(Vec<(u32, u32)>),
    Exit,
    /// Go on, but let others run first.
    Yield,
    /// Execute this instruction again when the wait is over.
    Wait(Wait),
}

/// The instruction's view of the machine.
pub(crate) struct Step<'a> {
    pub warp: &'a mut Warp,
    pub state: &'a mut ClusterState,
    pub grid: &'a Grid<'a>,
    /// Lanes that execute.
    pub mask: u32,
    pub line: u32,
    /// The instruction waited and is executed again because the wait is over.
    pub resumed: bool,
    /// The instruction waits for an mbarrier and nothing else can happen.
    pub timed_out: bool,
    /// The lane that is being served, for reports.
    pub lane: Option<u32>,
}

impl Step<'_> {
    /// The lanes that execute, in order.
    pub fn lanes(&self) -> impl Iterator<Item = usize> + use<> {
        let mask = self.mask;
        (0..32).filter(move |lane| mask >> lane & 1 != 0)
    }

    /// A source in all lanes.
    pub fn get(&self, src: Src) -> [u64; 32] {
        self.warp.fetch(
            src,
            self.warp.rank << 24,
            self.grid.dynamic_base,
            self.grid.globals,
        )
    }

    /// Writes a register in the lanes that execute.
    pub fn set(&mut self, slot: Slot, values: &[u64; 32]) {
        let register = &mut self.warp.registers[slot as usize];
        if self.mask == u32::MAX {
            *register = *values;
            return;
        }
        for lane in 0..32 {
            if self.mask >> lane & 1 != 0 {
                register[lane] = values[lane];
            }
        }
    }

    /// An address operand in all lanes.
    pub fn addresses(&self, addr: Addr) -> [u64; 32] {
        let bits = if addr.narrow { 32 } else { 64 };
        self.get(addr.base)
            .map(|base| truncate(base.wrapping_add(addr.offset as u64), bits))
    }

    /// A value that must be the same in all executing lanes.
    pub fn uniform(&self, src: Src, what: &str) -> Result<u64, FaultKind> {
        let values = self.get(src);
        let first = self.mask.trailing_zeros() as usize & 31;
        match self.lanes().find(|&lane| values[lane] != values[first]) {
            None => Ok(values[first]),
            Some(lane) => Err(FaultKind::operand(
                lane,
                format!(
                    "{what} {} differs from lane {first}'s {}",
                    values[lane], values[first]
                ),
            )),
        }
    }

    /// The thread in a lane.
    pub fn agent(&self, lane: usize) -> Agent {
        Agent {
            rank: self.warp.rank,
            warp: self.warp.index,
            lane: lane as u32,
            line: self.line,
        }
    }

    // ---- memory

    /// The CTA and offset of a shared address. `.shared::cta` reaches one's own CTA only. Generic addresses may also be
    /// plain shared ones: compilers pass those, zero-extended, to mbarrier operands that are written without a space.
    pub fn shared_address(
        &mut self,
        lane: usize,
        space: Space,
        address: u64,
    ) -> Result<SharedAddress, FaultKind> {
        self.lane = Some(lane as u32);
        let generic = space == Space::Generic;
        if generic && address >> 32 != 0 && Window::of(address) != Window::Shared {
            return Err(FaultKind::operand(
                lane,
                format!("generic address {address:#x} does not lie in shared memory"),
            ));
        }
        let address = window::to_shared(address);
        let at = SharedAddress {
            rank: window::rank(address),
            offset: window::offset(address),
        };
        if space == Space::Shared && at.rank != self.warp.rank {
            let near = format!(
                "it names CTA rank {}, .shared::cta is rank {} here",
                at.rank, self.warp.rank
            );
            return Err(FaultKind::OutOfBounds {
                space: "shared",
                address: address.into(),
                bytes: 0,
                near,
            });
        }
        self.state.check_shared(at, 0, 1)?;
        Ok(at)
    }

    /// Reads with the natural alignment of the access.
    pub fn read(
        &mut self,
        lane: usize,
        space: Space,
        address: u64,
        kind: AccessKind,
        out: &mut [u8],
    ) -> Result<(), FaultKind> {
        self.check_aligned(lane, space, address, out.len())?;
        self.read_bytes(lane, space, address, kind, out)
    }

    /// Writes with the natural alignment of the access.
    pub fn write(
        &mut self,
        lane: usize,
        space: Space,
        address: u64,
        kind: AccessKind,
        bytes: &[u8],
    ) -> Result<(), FaultKind> {
        self.check_aligned(lane, space, address, bytes.len())?;
        self.write_bytes(lane, space, address, kind, bytes)
    }

    fn check_aligned(
        &mut self,
        lane: usize,
        space: Space,
        address: u64,
        len: usize,
    ) -> Result<(), FaultKind> {
        self.lane = Some(lane as u32);
        if len > 0 && !address.is_multiple_of(len as u64) {
            return Err(FaultKind::Misaligned {
                space: name(self.concrete(space, address).0),
                address,
                needed: len as u64,
            });
        }
        Ok(())
    }

    /// The space behind a generic address, and the address in it.
    pub(super) fn concrete(&self, space: Space, address: u64) -> (Space, u64) {
        if space != Space::Generic {
            return (space, address);
        }
        let window = Window::of(address);
        let inside = address.wrapping_sub(window.base());
        match window {
            Window::Global => (Space::Global, inside),
            Window::Shared => (Space::SharedCluster, inside),
            Window::Local => (Space::Local, inside),
            Window::Const => (Space::Const, inside),
            Window::Param => (Space::Param, inside),
        }
    }

    /// Reads any number of bytes.
    pub fn read_bytes(
        &mut self,
        lane: usize,
        space: Space,
        address: u64,
        kind: AccessKind,
        out: &mut [u8],
    ) -> Result<(), FaultKind> {
        self.lane = Some(lane as u32);
        let (space, address) = self.concrete(space, address);
        match space {
            Space::Global | Space::Generic => {
                self.grid.global.read(address, out)?;
                self.global_access(lane, address, out.len(), kind, 0)
            }
            Space::Shared | Space::SharedCluster => {
                let at = self.shared_address(lane, space, address)?;
                out.copy_from_slice(self.state.shared_read(
                    self.agent(lane),
                    at,
                    kind,
                    out.len() as u32,
                )?);
                Ok(())
            }
            Space::Const => copy_out(self.grid.constants, "const", address, out),
            Space::Param => copy_out(self.grid.params, "param", address, out),
            Space::Local => {
                let local = self.local(lane, address, out.len())?;
                out.copy_from_slice(local);
                Ok(())
            }
        }
    }

    /// Writes any number of bytes.
    pub fn write_bytes(
        &mut self,
        lane: usize,
        space: Space,
        address: u64,
        kind: AccessKind,
        bytes: &[u8],
    ) -> Result<(), FaultKind> {
        self.lane = Some(lane as u32);
        let (space, address) = self.concrete(space, address);
        match space {
            Space::Global | Space::Generic => {
                self.state.counts.bytes_stored += bytes.len() as u64;
                self.grid.global.write(address, bytes)?;
                self.global_access(lane, address, bytes.len(), kind, digest(bytes))
            }
            Space::Shared | Space::SharedCluster => {
                let at = self.shared_address(lane, space, address)?;
                self.state.shared_write(self.agent(lane), at, kind, bytes)
            }
            Space::Local => {
                self.local(lane, address, bytes.len())?
                    .copy_from_slice(bytes);
                Ok(())
            }
            Space::Const | Space::Param => Err(FaultKind::operand(
                lane,
                format!("{} memory cannot be written", name(space)),
            )),
        }
    }

    /// Replaces `len` bytes by a function of them; returns what was there.
    pub fn update(
        &mut self,
        lane: usize,
        space: Space,
        address: u64,
        len: usize,
        change: impl Fn(u64) -> u64,
    ) -> Result<u64, FaultKind> {
        let mut bytes = [0; 8];
        self.read(lane, space, address, AccessKind::Atomic, &mut bytes[..len])?;
        let old = u64::from_le_bytes(bytes);
        let new = change(old).to_le_bytes();
        self.write(lane, space, address, AccessKind::Atomic, &new[..len])?;
        self.state.progress += 1;
        Ok(old)
    }

    fn local(&mut self, lane: usize, address: u64, len: usize) -> Result<&mut [u8], FaultKind> {
        let size = self.grid.local_bytes as usize;
        let fits = (address as usize)
            .checked_add(len)
            .is_some_and(|end| end <= size);
        if !fits {
            let near = format!("the thread has {size} bytes");
            return Err(FaultKind::OutOfBounds {
                space: "local",
                address,
                bytes: len as u64,
                near,
            });
        }
        let start = lane * size + address as usize;
        Ok(&mut self.warp.local[start..start + len])
    }

    /// The tensor map at a generic address: of a parameter, of constant or of global memory.
    pub fn tensor_map(&mut self, lane: usize, address: u64) -> Result<Box<TensorMap>, FaultKind> {
        if !address.is_multiple_of(64) {
            return Err(FaultKind::Misaligned {
                space: "tensor map",
                address,
                needed: 64,
            });
        }
        let mut bytes = [0; 128];
        self.read_bytes(
            lane,
            Space::Generic,
            address,
            AccessKind::AsyncLoad,
            &mut bytes,
        )?;
        TensorMap::decode(&bytes)
            .map(Box::new)
            .map_err(|e| FaultKind::engine(e.into()))
    }

    /// Starts an asynchronous operation of the thread in a lane.
    pub fn issue(&mut self, lane: usize, work: Work) -> Result<(), FaultKind> {
        self.lane = Some(lane as u32);
        work.check()
            .map_err(|error| FaultKind::engine_on(error, self.grid.target))?;
        work.check_alignment()?;
        let agent = self.agent(lane);
        let group = self.state.current_group(agent, &work);
        let ticket = self
            .state
            .check
            .issue(agent, &work, group, self.grid.global)?;
        self.state.queue.push(AsyncOp {
            agent,
            group,
            ticket,
            work,
        });
        self.state.progress += 1;
        let last = self.state.queue.len() - 1;
        if self.state.policy.at_once() && self.state.eligible(last) {
            self.state
                .run_queued(self.grid, last)
                .map_err(|fault| fault.kind)?;
        }
        Ok(())
    }

    // ---- barriers

    /// Arrives at a named barrier with the executing lanes; returns the generation to wait out.
    pub fn arrive_at_barrier(
        &mut self,
        id: u32,
        threads: Option<u32>,
        votes: u32,
    ) -> Result<u64, FaultKind> {
        // A warp counts as 32 threads, whether or not it is full (PTX ISA, 9.7.13.1).
        let arriving = if self.mask == self.warp.live {
            32
        } else {
            self.mask.count_ones()
        };
        self.state
            .check
            .named_arrive(self.warp.rank, self.warp.index, self.mask, id);
        self.state
            .arrive_named(self.warp.rank, id, arriving, threads, votes)
    }

    pub fn barrier_passed(&self, id: u32, generation: u64) -> bool {
        self.state.ctas[self.warp.rank as usize].named[id as usize].generation > generation
    }

    pub fn barrier_result(&self, id: u32, reduction: Reduction) -> u64 {
        self.state.named_result(self.warp.rank, id, reduction)
    }

    pub fn arrive_at_cluster(&mut self, semantics: Semantics) -> Result<(), FaultKind> {
        if self.warp.cluster_arrived & self.mask != 0 {
            return Err(FaultKind::Barrier(
                "second arrival at the cluster barrier without a wait between".into(),
            ));
        }
        self.warp.cluster_arrived |= self.mask;
        self.warp.cluster_generation = self.state.cluster_barrier.generation;
        self.state.cluster_barrier.arrived += self.mask.count_ones();
        let (rank, warp) = (self.warp.rank, self.warp.index);
        self.state
            .check
            .cluster_arrive(rank, warp, self.mask, semantics);
        self.state.progress += 1;
        self.state.check_cluster_barrier();
        Ok(())
    }

    /// True if the cluster barrier that the lanes arrived at has completed.
    pub fn cluster_passed(&self) -> Result<bool, FaultKind> {
        if self.mask & !self.warp.cluster_arrived != 0 {
            return Err(FaultKind::Barrier(
                "wait at the cluster barrier without an arrival".into(),
            ));
        }
        Ok(self.state.cluster_barrier.generation > self.warp.cluster_generation)
    }

    pub fn leave_cluster_barrier(&mut self, semantics: Semantics) {
        let (rank, warp) = (self.warp.rank, self.warp.index);
        self.state
            .check
            .cluster_passed(rank, warp, self.mask, semantics);
        self.warp.cluster_arrived &= !self.mask;
    }

    // ---- tensor memory

    /// `tcgen05.ld`: the registers are poisoned until the data arrives, at `tcgen05.wait::ld` at the latest.
    pub fn tensor_load(
        &mut self,
        access: Access,
        address: u32,
        registers: &[Slot],
    ) -> Result<(), FaultKind> {
        self.check_transfer(&access, address, false)?;
        if self.state.check.on {
            self.warp.in_flight.push(InFlight {
                group: None,
                results: registers.to_vec(),
                operands: Vec::new(),
                line: self.line,
                lane: self.mask.trailing_zeros() & 31,
            });
        }
        let transfer = Transfer {
            access,
            address,
            registers: registers.to_vec(),
            values: Vec::new(),
            undefined: Vec::new(),
            line: self.line,
        };
        if self.state.policy.at_once() {
            return self.deliver(&transfer);
        }
        for slot in registers {
            self.set(
                *slot,
                &[u64::from(crate::engine::tensor_memory::POISON); 32],
            );
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
        self.state.scratch = words;
        if self.state.check.on {
            let undefined = self.state.check.initialised[rank].load(access, *address);
            for (slot, (lanes, origin)) in registers.iter().zip(undefined) {
                let origin = if origin == 0 { transfer.line } else { origin };
                self.warp.defined.define(*slot, self.mask, lanes, origin);
            }
        }
        loaded
    }
}

fn name(space: Space) -> &'static str {
    match space {
        Space::Generic => "generic",
        Space::Global => "global",
        Space::Shared | Space::SharedCluster => "shared",
        Space::Const => "const",
        Space::Local => "local",
        Space::Param => "param",
    }
}

fn copy_out(
    memory: &[u8],
    space: &'static str,
    address: u64,
    out: &mut [u8],
) -> Result<(), FaultKind> {
    let start = address as usize;
    let end = start
        .checked_add(out.len())
        .filter(|end| *end <= memory.len());
    let Some(end) = end else {
        let near = format!("the space has {} bytes", memory.len());
        return Err(FaultKind::OutOfBounds {
            space,
            address,
            bytes: out.len() as u64,
            near,
        });
    };
    out.copy_from_slice(&memory[start..end]);
    Ok(())
}
