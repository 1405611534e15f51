//! How many objects of each kind are alive: what a test asks to find leaks.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Allocations,
    AllocatedBytes,
    HostAllocations,
    Contexts,
    Modules,
    Functions,
    Streams,
    Events,
    Graphs,
    GraphNodes,
    GraphExecs,
    MemoryPools,
    /// Objects that were still alive when their context was destroyed.
    Leaked,
}

const NAMES: [(&str, Kind); 13] = [
    ("allocations", Kind::Allocations),
    ("allocated_bytes", Kind::AllocatedBytes),
    ("host_allocations", Kind::HostAllocations),
    ("contexts", Kind::Contexts),
    ("modules", Kind::Modules),
    ("functions", Kind::Functions),
    ("streams", Kind::Streams),
    ("events", Kind::Events),
    ("graphs", Kind::Graphs),
    ("graph_nodes", Kind::GraphNodes),
    ("graph_execs", Kind::GraphExecs),
    ("memory_pools", Kind::MemoryPools),
    ("leaked", Kind::Leaked),
];

static COUNTS: [AtomicU64; 13] = [const { AtomicU64::new(0) }; 13];

impl Kind {
    pub(crate) fn add(self) {
        self.add_many(1);
    }

    pub(crate) fn add_many(self, n: u64) {
        COUNTS[self as usize].fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn remove(self) {
        self.remove_many(1);
    }

    pub(crate) fn remove_many(self, n: u64) {
        COUNTS[self as usize].fetch_sub(n, Ordering::Relaxed);
    }

    pub(crate) fn count(self) -> u64 {
        COUNTS[self as usize].load(Ordering::Relaxed)
    }

    /// By the name that `ptxemu_live` takes.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, kind)| *kind)
    }
}
