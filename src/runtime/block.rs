//! The parameter block: a template made at load, a copy for each launch, and the stores that bind it.

use super::error::Error;
use super::pointers::Pointers;
use crate::artifact::{KernelEntry, Operand};

/// Addresses of a group.
const OPERANDS: usize = 5;
/// The tightest alignment that the kernels' copies and tensor maps ask of an address.
const ALIGNMENT_MASK: u64 = 15;
/// All parameters of a kernel together (CUDA 12.1 and later).
const MAX_BYTES: u32 = 32_764;
/// An empty place in the table of outputs.
const EMPTY: u16 = u16::MAX;

/// 128 bytes: what a tensor map has, and the strictest alignment of a block.
#[derive(Clone, Copy)]
#[repr(C, align(128))]
struct Line([u64; 16]);

/// A parameter block in memory, aligned to 128 bytes.
#[derive(Clone)]
pub(super) struct Block {
    lines: Box<[Line]>,
}

impl Block {
    /// All zeros.
    pub fn new(bytes: u32) -> Self {
        let lines = (bytes as usize).div_ceil(size_of::<Line>());
        Block {
            lines: vec![Line([0; 16]); lines].into_boxed_slice(),
        }
    }

    pub fn as_ptr(&self) -> *const u64 {
        self.lines.as_ptr().cast()
    }

    pub fn as_mut_ptr(&mut self) -> *mut u64 {
        self.lines.as_mut_ptr().cast()
    }

    /// Stores eight bytes at byte offset `8 * word`.
    #[inline]
    pub fn set(&mut self, word: u32, value: u64) {
        self.lines[word as usize / 16].0[word as usize % 16] = value;
    }
}

/// One address of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// Byte offset in the block, over 8.
    pub word: u32,
    /// Which of the caller's addresses: five a group.
    pub source: u32,
}

/// Where a kernel's addresses go.
#[derive(Debug)]
pub(super) struct Binding {
    /// Groups, those without tokens included.
    groups: usize,
    /// Addresses that are stored.
    pub slots: Vec<Slot>,
    /// Tensor maps whose address only the driver can replace, by their first word.
    pub replaced: Vec<Slot>,
    /// The addresses of outputs, among the caller's.
    outputs: Vec<u32>,
}

/// What finds two equal outputs in one pass: a hash table with room for twice as many.
#[derive(Clone)]
pub(super) struct Outputs {
    places: Box<[u16]>,
    shift: u32,
}

impl Binding {
    /// Checks the manifest's slots and takes over the plain pointers; tensor maps are added by `tensor_map`.
    ///
    /// # Errors
    /// What is wrong with the entry.
    pub fn new(entry: &KernelEntry) -> Result<Self, String> {
        let sizes = &entry.sizes;
        let groups = sizes.m.len();
        if sizes.n.len() != groups || sizes.k.len() != groups || groups >= usize::from(EMPTY) {
            return Err("its lists of sizes differ in length".into());
        }
        let block = &entry.parameters;
        if block.bytes == 0 || block.bytes > MAX_BYTES {
            return Err(format!("its parameter block has {} bytes", block.bytes));
        }
        if !block.alignment.is_power_of_two() || block.alignment as usize > align_of::<Line>() {
            return Err(format!("its block is aligned to {} bytes", block.alignment));
        }
        check_slots(entry)?;
        let source = |group, operand| group * OPERANDS as u32 + operand as u32;
        let pointers = block.pointers.iter().map(|slot| Slot {
            word: slot.offset / 8,
            source: source(slot.group, slot.operand),
        });
        let with_tokens = (0u32..).zip(&sizes.m).filter(|(_, m)| **m > 0);
        Ok(Binding {
            groups,
            slots: pointers.collect(),
            replaced: Vec::new(),
            outputs: with_tokens.map(|(g, _)| source(g, Operand::C)).collect(),
        })
    }

    /// Adds the tensor map at a byte offset. `word` is the word of a map that holds the address; without one the driver
    /// has to replace it.
    pub fn add_map(&mut self, offset: u32, group: u32, operand: Operand, word: Option<u32>) {
        let source = group * OPERANDS as u32 + operand as u32;
        match word {
            Some(word) => self.slots.push(Slot {
                word: offset / 8 + word,
                source,
            }),
            None => self.replaced.push(Slot {
                word: offset / 8,
                source,
            }),
        }
    }

    /// The table of outputs that [`Binding::store`] needs.
    pub fn outputs(&self) -> Outputs {
        let places = (2 * self.outputs.len()).next_power_of_two().max(2);
        Outputs {
            places: vec![EMPTY; places].into_boxed_slice(),
            shift: 64 - places.trailing_zeros(),
        }
    }

    /// Writes the addresses to their places. After an error the block is not to be launched.
    ///
    /// # Errors
    /// [`Error::Groups`], [`Error::Null`], [`Error::Misaligned`], [`Error::SameOutput`].
    #[inline]
    pub fn store(
        &self,
        block: &mut Block,
        outputs: &mut Outputs,
        pointers: &[Pointers],
    ) -> Result<(), Error> {
        if pointers.len() != self.groups {
            return Err(Error::Groups {
                expected: self.groups,
                given: pointers.len(),
            });
        }
        let mut bits = 0;
        let mut null = false;
        for slot in &self.slots {
            let address = address(pointers, slot.source);
            bits |= address;
            null |= address == 0;
            block.set(slot.word, address);
        }
        for slot in &self.replaced {
            let address = address(pointers, slot.source);
            bits |= address;
            null |= address == 0;
        }
        if bits & ALIGNMENT_MASK != 0 || null {
            return Err(self.bad_address(pointers));
        }
        outputs.check(&self.outputs, pointers)
    }

    /// Says which address is bad.
    #[cold]
    fn bad_address(&self, pointers: &[Pointers]) -> Error {
        let mut sources: Vec<u32> = (self.slots.iter().chain(&self.replaced))
            .map(|slot| slot.source)
            .collect();
        sources.sort_unstable();
        let bad = |source: &u32| {
            let address = address(pointers, *source);
            let (group, operand) = name(*source);
            match address {
                0 => Some(Error::Null { group, operand }),
                _ if address & ALIGNMENT_MASK != 0 => Some(Error::Misaligned {
                    group,
                    operand,
                    address,
                }),
                _ => None,
            }
        };
        sources.iter().find_map(bad).unwrap_or(Error::Unbound)
    }
}

impl Outputs {
    /// Refuses two equal outputs, in time linear in their number.
    #[inline]
    fn check(&mut self, outputs: &[u32], pointers: &[Pointers]) -> Result<(), Error> {
        self.places.fill(EMPTY);
        let mask = self.places.len() - 1;
        for (index, source) in (0u16..).zip(outputs) {
            let mine = address(pointers, *source);
            // Fibonacci hashing: the high bits of the product depend on all bits of the address.
            let mut place = (mine.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift) as usize;
            loop {
                let other = self.places[place & mask];
                if other == EMPTY {
                    self.places[place & mask] = index;
                    break;
                }
                let other = outputs[usize::from(other)];
                if address(pointers, other) == mine {
                    return Err(same_output(other, *source, mine));
                }
                place += 1;
            }
        }
        Ok(())
    }
}

#[cold]
fn same_output(first: u32, second: u32, address: u64) -> Error {
    Error::SameOutput {
        groups: (name(first).0, name(second).0),
        address,
    }
}

#[inline]
fn address(pointers: &[Pointers], source: u32) -> u64 {
    let source = source as usize;
    pointers[source / OPERANDS].0[source % OPERANDS]
}

/// Group and operand of one of the caller's addresses.
fn name(source: u32) -> (u32, Operand) {
    use Operand::{A, B, C, Sfa, Sfb};
    let operand = [A, B, Sfa, Sfb, C][source as usize % OPERANDS];
    (source / OPERANDS as u32, operand)
}

/// Every group with tokens must have each operand in exactly one place, every other group in none.
fn check_slots(entry: &KernelEntry) -> Result<(), String> {
    let block = &entry.parameters;
    let maps = block.tensor_maps.iter();
    let maps = maps.map(|slot| (slot.offset, 128, 64, slot.group, slot.operand));
    let pointers = block.pointers.iter();
    let pointers = pointers.map(|slot| (slot.offset, 8, 8, slot.group, slot.operand));
    let mut places = vec![0; entry.sizes.m.len() * OPERANDS];
    for (offset, bytes, alignment, group, operand) in maps.chain(pointers) {
        if offset % alignment != 0 || u64::from(offset) + bytes > u64::from(block.bytes) {
            return Err(format!(
                "the slot at offset {offset} is not in its parameter block"
            ));
        }
        match places.get_mut(group as usize * OPERANDS + operand as usize) {
            Some(places) => *places += 1,
            None => {
                return Err(format!(
                    "a slot is of group {group}, and there are {}",
                    entry.sizes.m.len()
                ));
            }
        }
    }
    for (group, (places, m)) in places.chunks(OPERANDS).zip(&entry.sizes.m).enumerate() {
        if places.iter().any(|count| *count != u32::from(*m > 0)) {
            return Err(format!(
                "group {group} does not have a slot for each operand"
            ));
        }
    }
    Ok(())
}
