//! Who acts: every access to memory and every asynchronous operation carries the thread and the PTX line behind it.
//!
//! The checks that name both parties (`crate::check`) hook in where agents meet memory.

/// A thread of a cluster, at a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agent {
    /// CTA rank in the cluster.
    pub rank: u32,
    pub warp: u32,
    pub lane: u32,
    pub line: u32,
}

impl Agent {
    /// A number for the thread, whatever the line.
    pub fn thread(self) -> u32 {
        (self.rank * 32 + self.warp) * 32 + self.lane
    }
}

/// What kind of access it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessKind {
    Load,
    Store,
    /// Relaxed, acquire, release or volatile: does not race with its like.
    StrongLoad,
    StrongStore,
    Atomic,
    /// By a whole warp, of the address of allocated tensor memory.
    Allocation,
    /// By an asynchronous operation, which is checked when it is issued.
    AsyncLoad,
    AsyncStore,
}
