//! What a thread knows to have happened, and what it passes on when it synchronises.
//!
//! Several orders run side by side, and each instruction extends some of them only:
//! * `order` is causality order (PTX ISA, memory consistency model): releases and acquires, barriers, observed completions;
//! * `seen` also follows relaxed synchronisation. It orders nothing; it tells a missing fence from a plain race;
//! * `tensor` is what `tcgen05.fence` orders among operations on tensor memory (PTX ISA, tcgen05 memory consistency);
//! * `shared_proxy` and `global_proxy` are the generic accesses that the asynchronous proxy sees (fence.proxy.async);
//! * `reads` is how far the reads of shared memory of each warp have ended: see [`super::reads`];
//! * `fenced` is what `tcgen05.fence::before_thread_sync` has been executed behind: strict checks ask for both fences;
//! * `barriers` are the mbarrier initialisations published by fence.mbarrier_init.

use std::rc::Rc;

use super::clock::{Clock, join};

/// What travels through a synchronisation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Knowledge {
    pub order: Rc<Clock>,
    pub seen: Rc<Clock>,
    pub tensor: Rc<Clock>,
    pub fenced: Rc<Clock>,
    pub shared_proxy: Rc<Clock>,
    pub global_proxy: Rc<Clock>,
    pub reads: Rc<Clock>,
    pub barriers: Rc<Clock>,
    /// Writes of tensor maps that acquire fences of the tensormap proxy have made visible.
    pub maps: Rc<Clock>,
}

/// The semantics of a synchronising instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Semantics {
    Relaxed,
    /// Release, acquire or both, as far as the instruction has such a side.
    Strong,
}

impl Knowledge {
    pub fn join(&mut self, other: &Knowledge) {
        join(&mut self.order, &other.order);
        join(&mut self.seen, &other.seen);
        join(&mut self.tensor, &other.tensor);
        join(&mut self.fenced, &other.fenced);
        join(&mut self.shared_proxy, &other.shared_proxy);
        join(&mut self.global_proxy, &other.global_proxy);
        join(&mut self.reads, &other.reads);
        join(&mut self.barriers, &other.barriers);
        join(&mut self.maps, &other.maps);
    }
}

/// The knowledge of threads of one warp that know the same. The own accesses of a thread are not in its clocks: they are
/// known by program order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Thread {
    pub now: Knowledge,
    /// What tcgen05.fence::after_thread_sync lets tensor operations follow, beyond `now.order`.
    pub tensor_after: Rc<Clock>,
    /// What both fences order before later tensor operations.
    pub fenced_after: Rc<Clock>,
    /// Whether both fences are asked for.
    pub strict: bool,
    /// What relaxed synchronisation has brought: an acquire fence makes it count.
    observed: Knowledge,
    /// What relaxed synchronisation passes on: the knowledge at the latest release fence, and its time.
    fenced: Option<(Knowledge, u32)>,
}

/// The threads that act: a warp, some of its lanes, and the warp's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Actors {
    pub warp: u32,
    pub mask: u32,
    pub time: u32,
}

impl Actors {
    fn add_to(self, clock: &mut Rc<Clock>) {
        Rc::make_mut(clock).raise_lanes(self.warp, self.mask, self.time);
    }
}

impl Thread {
    /// A thread that has seen nothing yet.
    pub fn new(strict: bool) -> Self {
        Thread {
            strict,
            ..Thread::default()
        }
    }

    /// Everything known by the actors, their own past included.
    pub fn snapshot(&self, actors: Actors) -> Thread {
        let mut copy = self.clone();
        actors.add_to(&mut copy.now.order);
        actors.add_to(&mut copy.now.seen);
        copy
    }

    /// What an arrival, a store or an atomic passes on.
    pub fn release(&self, actors: Actors, semantics: Semantics) -> Knowledge {
        let mut seen = self.now.seen.clone();
        actors.add_to(&mut seen);
        if semantics == Semantics::Strong {
            let mut order = self.now.order.clone();
            actors.add_to(&mut order);
            let mut tensor = self.now.tensor.clone();
            join(&mut tensor, &order);
            return Knowledge {
                order,
                seen,
                tensor,
                ..self.now.clone()
            };
        }
        let (mut fenced, time) = self.fenced.clone().unwrap_or_default();
        Actors { time, ..actors }.add_to(&mut fenced.order);
        join(&mut fenced.tensor, &self.now.tensor);
        Knowledge {
            seen,
            barriers: self.now.barriers.clone(),
            ..fenced
        }
    }

    /// Takes over what a wait, a load or an atomic has observed.
    pub fn acquire(&mut self, from: &Knowledge, semantics: Semantics) {
        join(&mut self.observed.tensor, &from.tensor);
        if semantics == Semantics::Strong {
            let tensor = self.now.tensor.clone();
            self.now.join(from);
            self.now.tensor = tensor;
            return;
        }
        join(&mut self.now.seen, &from.seen);
        join(&mut self.now.barriers, &from.barriers);
        self.observed.join(from);
    }

    /// Meets other lanes of the warp or of the CTA.
    pub fn meet(&mut self, other: &Thread) {
        self.now.join(&other.now);
        join(&mut self.tensor_after, &other.tensor_after);
        join(&mut self.fenced_after, &other.fenced_after);
        self.strict |= other.strict;
        self.observed.join(&other.observed);
        match (&mut self.fenced, &other.fenced) {
            (Some((mine, time)), Some((theirs, other_time))) => {
                mine.join(theirs);
                *time = (*time).max(*other_time);
            }
            (none @ None, Some(_)) => none.clone_from(&other.fenced),
            _ => {}
        }
    }

    /// The reads of a whole warp have ended up to this time.
    pub fn reads_ended(&mut self, warp: u32, time: u32) {
        Rc::make_mut(&mut self.now.reads).raise_lanes(warp, u32::MAX, time);
    }

    // ---- fences

    pub fn acquire_fence(&mut self) {
        let observed = self.observed.clone();
        let tensor = self.now.tensor.clone();
        self.now.join(&observed);
        self.now.tensor = tensor;
    }

    pub fn release_fence(&mut self, actors: Actors) {
        self.fenced = Some((self.now.clone(), actors.time));
    }

    pub fn shared_proxy_fence(&mut self, actors: Actors) {
        join(&mut self.now.shared_proxy, &self.now.order);
        actors.add_to(&mut self.now.shared_proxy);
    }

    pub fn global_proxy_fence(&mut self, actors: Actors) {
        join(&mut self.now.global_proxy, &self.now.order);
        actors.add_to(&mut self.now.global_proxy);
    }

    pub fn barrier_fence(&mut self, actors: Actors) {
        join(&mut self.now.barriers, &self.now.order);
        actors.add_to(&mut self.now.barriers);
    }

    pub fn map_fence(&mut self, actors: Actors) {
        join(&mut self.now.maps, &self.now.order);
        actors.add_to(&mut self.now.maps);
    }

    /// tcgen05.fence::before_thread_sync: complete operations, and own ones in flight as far as pipelined ones go.
    pub fn tensor_before(&mut self) {
        join(&mut self.now.tensor, &self.now.order);
        join(&mut self.now.tensor, &self.tensor_after);
        join(&mut self.now.fenced, &self.now.order);
    }

    /// tcgen05.fence::after_thread_sync.
    pub fn tensor_after(&mut self) {
        join(&mut self.tensor_after, &self.observed.tensor);
        join(&mut self.fenced_after, &self.now.fenced);
    }

    // ---- completions

    /// The threads have waited for a stream up to a number.
    pub fn completed(&mut self, stream: u32, number: u32) {
        Rc::make_mut(&mut self.now.order).raise_stream(stream, number);
        Rc::make_mut(&mut self.now.seen).raise_stream(stream, number);
    }

    /// The threads have issued an operation: others may have seen that, but not its completion.
    pub fn issued(&mut self, stream: u32, number: u32) {
        Rc::make_mut(&mut self.now.seen).raise_stream(stream + 1, number);
    }

    /// The same for an operation that later ones of its kind follow.
    pub fn issued_in_order(&mut self, stream: u32, number: u32) {
        self.issued(stream, number);
        Rc::make_mut(&mut self.tensor_after).raise_stream(stream + 1, number);
    }

    /// A commit: what its thread has issued is complete, and so is what that followed in order.
    pub fn committed(&mut self) {
        let order = Rc::make_mut(&mut self.now.order);
        let seen = Rc::make_mut(&mut self.now.seen);
        for (stream, number) in self.tensor_after.issues() {
            order.raise_stream(stream, number);
            seen.raise_stream(stream, number);
        }
    }
}
