//! Global memory: separate allocations with unmapped gaps, shared by all threads of the emulator.
//!
//! The bytes live in atomic words that are only ever accessed relaxed. Kernels that race get one of the values that
//! raced; kernels that do not are unaffected by the number of host threads.

use std::sync::atomic::{AtomicU64, Ordering};

use super::fault::FaultKind;

/// First address handed out; far from every window of the generic address space.
const FIRST: u64 = 0x0100_0000_0000;
/// Unmapped bytes around each allocation.
const GAP: u64 = 1 << 20;
/// What fresh memory holds: a NaN in f16, f32 and, as 0x7FFFDEAD twice, in f64.
pub(super) const POISON_WORD: u64 = 0x7FFF_DEAD_7FFF_DEAD;

struct Allocation {
    name: String,
    base: u64,
    len: u64,
    /// Words from the base rounded down to 8.
    words: Vec<AtomicU64>,
}

/// All allocations, sorted by address.
#[derive(Default)]
pub(crate) struct GlobalMemory {
    allocations: Vec<Allocation>,
    next: u64,
}

impl GlobalMemory {
    /// New poisoned memory at an address that is `offset` behind a multiple of 512.
    pub fn allocate(&mut self, name: &str, len: u64, offset: u64) -> u64 {
        let base = self.next.max(FIRST).next_multiple_of(512) + offset;
        self.next = base + len + GAP;
        let words = (base % 8 + len).div_ceil(8) as usize;
        let words = std::iter::repeat_with(|| AtomicU64::new(POISON_WORD))
            .take(words)
            .collect();
        self.allocations.push(Allocation {
            name: name.into(),
            base,
            len,
            words,
        });
        base
    }

    /// Removes the allocation that starts at `address`.
    pub fn free(&mut self, address: u64) -> Option<()> {
        let index = self.allocations.iter().position(|a| a.base == address)?;
        self.allocations.remove(index);
        Some(())
    }

    fn find(&self, address: u64, len: u64) -> Result<&Allocation, FaultKind> {
        let after = self.allocations.partition_point(|a| a.base <= address);
        let candidate = after.checked_sub(1).map(|i| &self.allocations[i]);
        match candidate {
            Some(a) if address - a.base <= a.len && len <= a.len - (address - a.base) => Ok(a),
            _ => Err(FaultKind::OutOfBounds {
                space: "global",
                address,
                bytes: len,
                near: self.describe_near(address),
            }),
        }
    }

    /// Whether all of these bytes belong to one allocation.
    pub fn contains(&self, address: u64, len: u64) -> Result<(), FaultKind> {
        self.find(address, len)?;
        Ok(())
    }

    /// The start of the allocation that holds an address.
    pub fn base(&self, address: u64) -> Option<u64> {
        self.find(address, 0).ok().map(|a| a.base)
    }

    /// The allocation nearest to an address, and where the address lies relative to it.
    fn describe_near(&self, address: u64) -> String {
        let distance = |a: &Allocation| {
            if address < a.base {
                a.base - address
            } else {
                address.saturating_sub(a.base + a.len)
            }
        };
        match self.allocations.iter().min_by_key(|a| distance(a)) {
            None => "nothing is allocated".into(),
            Some(a) => {
                let offset = i128::from(address) - i128::from(a.base);
                format!(
                    "nearest is `{}` ({} bytes at {:#x}), offset {offset} from its start",
                    a.name, a.len, a.base
                )
            }
        }
    }

    /// Copies memory out.
    pub fn read(&self, address: u64, out: &mut [u8]) -> Result<(), FaultKind> {
        let allocation = self.find(address, out.len() as u64)?;
        let start = (address - (allocation.base & !7)) as usize;
        let (mut word, skip) = (start / 8, start % 8);
        let load = |word: usize| allocation.words[word].load(Ordering::Relaxed).to_le_bytes();
        let head = if skip == 0 {
            0
        } else {
            (8 - skip).min(out.len())
        };
        let (first, rest) = out.split_at_mut(head);
        if head > 0 {
            first.copy_from_slice(&load(word)[skip..skip + head]);
            word += 1;
        }
        let mut chunks = rest.chunks_exact_mut(8);
        for chunk in chunks.by_ref() {
            chunk.copy_from_slice(&load(word));
            word += 1;
        }
        let tail = chunks.into_remainder();
        if !tail.is_empty() {
            let len = tail.len();
            tail.copy_from_slice(&load(word)[..len]);
        }
        Ok(())
    }

    /// Copies memory in.
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), FaultKind> {
        let allocation = self.find(address, bytes.len() as u64)?;
        let start = (address - (allocation.base & !7)) as usize;
        let (mut word, skip) = (start / 8, start % 8);
        let head = if skip == 0 {
            0
        } else {
            (8 - skip).min(bytes.len())
        };
        if head > 0 {
            merge(&allocation.words[word], skip, &bytes[..head]);
            word += 1;
        }
        let chunks = bytes[head..].chunks_exact(8);
        let tail = chunks.remainder();
        for chunk in chunks {
            let value = u64::from_le_bytes(chunk.try_into().unwrap_or_default());
            allocation.words[word].store(value, Ordering::Relaxed);
            word += 1;
        }
        if !tail.is_empty() {
            merge(&allocation.words[word], 0, tail);
        }
        Ok(())
    }
}

/// Replaces some bytes of a word and leaves the others to whoever writes them at the same time.
fn merge(word: &AtomicU64, at: usize, bytes: &[u8]) {
    let (mut value, mut mask) = ([0u8; 8], [0u8; 8]);
    value[at..at + bytes.len()].copy_from_slice(bytes);
    mask[at..at + bytes.len()].fill(0xFF);
    let (value, mask) = (u64::from_le_bytes(value), u64::from_le_bytes(mask));
    let replace = |old: u64| Some(old & !mask | value);
    let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, replace);
}
