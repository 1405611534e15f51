//! The state of mbarriers (PTX ISA, 9.7.13.15; brief, 4.1). It lives beside shared memory, because its bytes are opaque.

use super::agent::Agent;
use super::cluster::ClusterState;
use super::fault::FaultKind;
use super::misuse::Misuse;

/// A place in the shared memory of one CTA of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SharedAddress {
    pub rank: u32,
    pub offset: u32,
}

impl SharedAddress {
    /// So many bytes further on.
    pub fn offset_by(self, bytes: u32) -> Self {
        SharedAddress {
            offset: self.offset + bytes,
            ..self
        }
    }
}

impl std::fmt::Display for SharedAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "shared {:#x} of CTA rank {}", self.offset, self.rank)
    }
}

/// The largest count and the largest transaction count in flight.
const LIMIT: i64 = (1 << 20) - 1;

/// One barrier.
#[derive(Clone, Debug)]
pub(crate) struct Mbarrier {
    /// Phases completed so far.
    pub phase: u64,
    /// How many of them some thread has waited for.
    pub seen: u64,
    pub expected: u32,
    pub pending: u32,
    pub tx: i64,
    pub init_line: u32,
    /// `mbarrier.inval` was executed and the bytes have not been written since.
    pub retired: bool,
}

impl Mbarrier {
    /// Nothing has arrived in this phase and nothing is expected, and the phases before have been waited for.
    pub fn is_idle(&self) -> bool {
        self.seen == self.phase && self.tx == 0 && self.pending == self.expected
    }
}

impl std::fmt::Display for Mbarrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Mbarrier {
            phase,
            expected,
            pending,
            tx,
            init_line,
            ..
        } = self;
        write!(
            f,
            "in phase {phase}, {pending} of {expected} arrivals pending, {tx} bytes expected, initialised at line {init_line}"
        )
    }
}

/// The pending count inside an arrival token.
pub(crate) fn token_pending(token: u64) -> u32 {
    token as u32
}

impl ClusterState {
    fn barrier_mut(&mut self, at: SharedAddress) -> Result<&mut Mbarrier, FaultKind> {
        self.check_alive(at)?;
        let cta = &mut self.ctas[at.rank as usize];
        if let Some(barrier) = cta.overwritten.get(&at.offset) {
            let what = format!("the bytes at {at} have been overwritten: it was {barrier}");
            return Err(FaultKind::Mbarrier(Misuse::Overwritten, what));
        }
        cta.barriers
            .get_mut(&at.offset)
            .ok_or(Misuse::Uninitialised)
            .and_then(|barrier| match barrier.retired {
                true => Err(Misuse::Invalidated),
                false => Ok(barrier),
            })
            .map_err(|misuse| {
                FaultKind::Mbarrier(misuse, format!("no barrier is initialised at {at}"))
            })
    }

    pub fn barrier_init(
        &mut self,
        agent: Agent,
        at: SharedAddress,
        count: u32,
    ) -> Result<(), FaultKind> {
        self.check_shared(at, 8, 8)?;
        if count == 0 || i64::from(count) > LIMIT {
            return Err(FaultKind::Mbarrier(
                Misuse::Operand,
                format!("{at}: count {count} is not in 1..={LIMIT}"),
            ));
        }
        let barrier = Mbarrier {
            phase: 0,
            seen: 0,
            expected: count,
            pending: count,
            tx: 0,
            init_line: agent.line,
            retired: false,
        };
        let live = self.ctas[at.rank as usize].barriers.get(&at.offset);
        if let Some(barrier) = live.filter(|b| !b.retired && !self.may_forget(agent, at, b)) {
            let what = format!("{at} is a live barrier already, {barrier}");
            return Err(FaultKind::Mbarrier(Misuse::Reinitialised, what));
        }
        self.check.barrier_init(agent, at)?;
        self.ctas[at.rank as usize].insert_barrier(at.offset, barrier);
        self.progress += 1;
        Ok(())
    }

    /// Whether the thread may give the place of a barrier another use without `mbarrier.inval`. Strictly it may not. But
    /// compilers lay out shared memory by what their own input still uses: Triton initialises barriers of several pipelines
    /// at one place and reuses the place of barriers that a Gluon program does not invalidate. That harms nobody once every
    /// phase has been waited for, if the thread knows of those waits; a later use is misuse all the same.
    pub fn may_forget(&self, agent: Agent, at: SharedAddress, barrier: &Mbarrier) -> bool {
        !self.check.strict && barrier.is_idle() && self.check.knows_of_waits(agent, at)
    }

    pub fn barrier_invalidate(&mut self, _: Agent, at: SharedAddress) -> Result<(), FaultKind> {
        // One that nobody needed and whose place has other uses by now.
        if let Some(cta) = self.ctas.get_mut(at.rank as usize)
            && cta.overwritten.remove(&at.offset).is_some()
        {
            return Ok(());
        }
        self.barrier_mut(at)?.retired = true;
        self.progress += 1;
        Ok(())
    }

    /// Changes the transaction count by `bytes` without completing a phase (the arrival that follows may).
    pub fn barrier_expect_quietly(
        &mut self,
        _: Agent,
        at: SharedAddress,
        bytes: i64,
    ) -> Result<(), FaultKind> {
        let barrier = self.barrier_mut(at)?;
        barrier.tx += bytes;
        if barrier.tx.abs() > LIMIT {
            let message = format!(
                "{at}: transaction count {} exceeds {LIMIT} ({barrier})",
                barrier.tx
            );
            return Err(FaultKind::Mbarrier(Misuse::TransactionOverflow, message));
        }
        self.progress += 1;
        Ok(())
    }

    /// `expect_tx` (positive) or `complete_tx` (negative).
    pub fn barrier_expect(
        &mut self,
        agent: Agent,
        at: SharedAddress,
        bytes: i64,
    ) -> Result<(), FaultKind> {
        self.barrier_expect_quietly(agent, at, bytes)?;
        self.try_complete(at)
    }

    /// Arrives `count` times; returns the token of the phase that was current.
    pub fn barrier_arrive(
        &mut self,
        at: SharedAddress,
        count: u32,
        drop: bool,
    ) -> Result<u64, FaultKind> {
        let barrier = self.barrier_mut(at)?;
        if count > barrier.pending || count == 0 {
            return Err(FaultKind::Mbarrier(
                Misuse::OverArrival,
                format!("{at}: {count} arrivals are too many, barrier is {barrier}"),
            ));
        }
        let token = barrier.phase << 32 | u64::from(barrier.pending);
        barrier.pending -= count;
        if drop {
            barrier.expected -= count;
        }
        self.progress += 1;
        self.try_complete(at)?;
        Ok(token)
    }

    /// `.noComplete` must leave arrivals pending (PTX ISA, mbarrier.arrive).
    pub fn barrier_stays_incomplete(
        &mut self,
        at: SharedAddress,
        count: u32,
    ) -> Result<(), FaultKind> {
        let barrier = self.barrier_mut(at)?;
        if count < barrier.pending {
            return Ok(());
        }
        let what = format!("{at}: {count} arrivals with .noComplete, barrier is {barrier}");
        Err(FaultKind::Mbarrier(Misuse::OverArrival, what))
    }

    /// The arrival of a commit. Production compilers invalidate a barrier that nobody will wait for again while a commit
    /// may still be on its way to it; a device then only touches eight dead bytes, so as long as they are dead this is
    /// no fault.
    pub fn barrier_commit(&mut self, at: SharedAddress) -> Result<(), FaultKind> {
        let barrier = self
            .ctas
            .get(at.rank as usize)
            .and_then(|cta| cta.barriers.get(&at.offset));
        if barrier.is_some_and(|b| b.retired) {
            return Ok(());
        }
        self.barrier_arrive(at, 1, false).map(|_| ())
    }

    /// One more arrival is pending in this phase (`cp.async.mbarrier.arrive` without `.noinc`).
    pub fn barrier_add_pending(&mut self, _: Agent, at: SharedAddress) -> Result<(), FaultKind> {
        let barrier = self.barrier_mut(at)?;
        barrier.pending += 1;
        Ok(())
    }

    fn try_complete(&mut self, at: SharedAddress) -> Result<(), FaultKind> {
        let barrier = self.barrier_mut(at)?;
        if barrier.pending == 0 && barrier.tx == 0 {
            barrier.phase += 1;
            barrier.pending = barrier.expected;
            self.check.barrier_completed(at);
        }
        Ok(())
    }

    /// The phase that a wait asks for, by parity or by token.
    pub fn barrier_phase(
        &mut self,
        agent: Agent,
        at: SharedAddress,
        operand: u64,
        parity: bool,
    ) -> Result<u64, FaultKind> {
        if at.rank != agent.rank {
            return Err(FaultKind::Mbarrier(
                Misuse::Operand,
                format!("{at}: waiting is only possible in one's own CTA"),
            ));
        }
        let phase = self.barrier_mut(at)?.phase;
        if !parity {
            return Ok(phase & !0xFFFF_FFFF | operand >> 32);
        }
        Ok(if phase & 1 == operand & 1 {
            phase
        } else {
            phase.wrapping_sub(1)
        })
    }

    /// Threads have seen a phase complete.
    pub fn barrier_seen(&mut self, at: SharedAddress, phase: u64) {
        if let Some(barrier) = self.ctas[at.rank as usize].barriers.get_mut(&at.offset) {
            barrier.seen = barrier.seen.max(phase.wrapping_add(1)).min(barrier.phase);
        }
    }

    /// True if the phase has completed. A barrier that is gone completes nothing.
    pub fn phase_complete(&self, at: SharedAddress, phase: u64) -> bool {
        let barrier = self.ctas[at.rank as usize].barriers.get(&at.offset);
        barrier.is_some_and(|b| !b.retired && b.phase.wrapping_sub(phase) as i64 > 0)
    }
}
