//! Clusters of a launch that have not started: they start, or a running one cancels them (PTX ISA,
//! clusterlaunchcontrol).

use std::sync::atomic::{AtomicU64, Ordering};

/// The clusters of a launch in the order in which they start.
#[derive(Debug)]
pub(crate) struct Backlog {
    /// Clusters that have started or were cancelled.
    gone: AtomicU64,
    clusters: u64,
}

impl Backlog {
    pub fn new(clusters: u64) -> Self {
        Backlog {
            gone: AtomicU64::new(0),
            clusters,
        }
    }

    /// Takes the next one out. Only launches whose clusters share a thread ask.
    pub fn take(&self) -> Option<u64> {
        let index = self.gone.load(Ordering::Relaxed);
        if index == self.clusters {
            return None;
        }
        self.gone.store(index + 1, Ordering::Relaxed);
        Some(index)
    }

    pub fn is_empty(&self) -> bool {
        self.gone.load(Ordering::Relaxed) == self.clusters
    }

    pub fn is_untouched(&self) -> bool {
        self.gone.load(Ordering::Relaxed) == 0
    }
}

/// The 16 opaque bytes that answer a request: `%ctaid` of the first CTA of the canceled cluster, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CancelResponse(pub Option<[u32; 3]>);

/// Marks a response that succeeded.
const SUCCESS: u32 = 0x00C1_C001;
const FAILURE: u32 = 0x00C1_C000;

impl CancelResponse {
    pub const BYTES: u32 = 16;

    pub fn to_bytes(self) -> [u8; 16] {
        let ([x, y, z], mark) = match self.0 {
            Some(id) => (id, SUCCESS),
            None => ([0; 3], FAILURE),
        };
        let mut bytes = [0; 16];
        for (part, word) in bytes.chunks_exact_mut(4).zip([x, y, z, mark]) {
            part.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    pub fn from_words(low: u64, high: u64) -> Self {
        let is_success = (high >> 32) as u32 == SUCCESS;
        CancelResponse(is_success.then_some([low as u32, (low >> 32) as u32, high as u32]))
    }
}
