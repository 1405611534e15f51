//! When things happen. The memory model leaves much freedom; each schedule is one deterministic choice from it.

/// Which of the legal interleavings to execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Every asynchronous operation happens at once when it is issued.
    Eager,
    /// Asynchronous operations happen only when no thread can run otherwise, and then only those that somebody waits
    /// for, together with what must come before them.
    Lazy,
    /// Warps and asynchronous operations interleave at random, within the ordering rules. Equal seeds repeat exactly.
    Random(u64),
}

/// A schedule with its state.
pub(crate) struct Policy {
    pub schedule: Schedule,
    state: u64,
}

impl Policy {
    /// The policy for the cluster with the given index in the grid.
    pub fn new(schedule: Schedule, index: u64) -> Self {
        let seed = match schedule {
            Schedule::Random(seed) => seed,
            _ => 0,
        };
        Policy {
            schedule,
            state: seed ^ index.wrapping_mul(0x9E37_79B9_7F4A_7C15),
        }
    }

    /// A pseudo-random number (splitmix64).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A random number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// Whether an operation that is being issued happens at once.
    pub fn at_once(&mut self) -> bool {
        match self.schedule {
            Schedule::Eager => true,
            Schedule::Lazy => false,
            Schedule::Random(_) => self.below(4) == 0,
        }
    }

    /// Instructions a warp may execute before it is another's turn.
    pub fn quantum(&mut self) -> u32 {
        match self.schedule {
            Schedule::Random(_) => 1 << self.below(12),
            _ => 1 << 14,
        }
    }
}
