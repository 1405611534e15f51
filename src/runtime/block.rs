//! The parameter block: a template made at load, a copy for each launch, and the stores that bind it.

use super::error::Error;
use super::pointers::Pointers;
use crate::artifact::{KernelEntry, MAX_PARAMETER_BYTES, Operand};

/// Addresses of a group.
const OPERANDS: usize = 5;
/// The output among them.
const C: usize = Operand::C as usize;
/// The tightest alignment that the kernels' copies and tensor maps ask of an address.
const ALIGNMENT_MASK: u64 = 15;
/// An empty place in the table of outputs.
const EMPTY: u16 = u16::MAX;

/// 128 bytes: what a tensor map has, and the strictest alignment of a block.
#[derive(Clone, Copy)]
#[repr(C, align(128))]
struct Line([u64; 16]);

/// A parameter block in memory, aligned to 128 bytes, with room behind it for one word that is not part of it.
#[derive(Clone)]
pub(super) struct Block {
    lines: Box<[Line]>,
}

impl Block {
    /// All zeros.
    pub fn new(bytes: u32) -> Self {
        let lines = bytes as usize / size_of::<Line>() + 1;
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

/// Where a kernel's addresses go.
#[derive(Debug)]
pub(super) struct Binding {
    /// Groups, those without tokens included.
    groups: usize,
    /// The groups that have tokens.
    places: Vec<Places>,
    /// What else holds an address that `places` holds: tiles of different widths have tensor maps of their own.
    copies: Vec<Copied>,
    /// The word behind the block.
    behind: u32,
    /// Tensor maps whose address only the driver can replace.
    pub replaced: Vec<Replaced>,
}

/// The words of the block that hold the addresses of a group, in the order of [`Pointers`].
#[derive(Debug)]
struct Places {
    group: u32,
    words: [u32; OPERANDS],
}

/// A word of the block that holds an address once more.
#[derive(Clone, Copy, Debug)]
struct Copied {
    word: u32,
    group: u32,
    operand: Operand,
}

/// A tensor map that holds an address we know not where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replaced {
    /// Its first word.
    pub word: u32,
    pub group: u32,
    pub operand: Operand,
}

/// What finds two equal outputs in one pass: a hash table with room for twice as many.
#[derive(Clone)]
pub(super) struct Outputs {
    table: Box<[u16]>,
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
        if block.bytes == 0 || block.parameter_bytes() > MAX_PARAMETER_BYTES {
            return Err(format!("its parameter block has {} bytes", block.bytes));
        }
        if !block.alignment.is_power_of_two() || block.alignment as usize > align_of::<Line>() {
            return Err(format!("its block is aligned to {} bytes", block.alignment));
        }
        check_slots(entry)?;
        // The word behind the block takes what is stored nowhere else.
        let behind = block.bytes.div_ceil(8);
        let with_tokens = (0u32..).zip(&sizes.m).filter(|(_, m)| **m > 0);
        let places = with_tokens.map(|(group, _)| Places {
            group,
            words: [behind; OPERANDS],
        });
        let mut binding = Binding {
            groups,
            places: places.collect(),
            copies: Vec::new(),
            behind,
            replaced: Vec::new(),
        };
        for slot in &block.pointers {
            binding.place(slot.group, slot.operand, slot.offset / 8);
        }
        Ok(binding)
    }

    /// Adds the tensor map at a byte offset. `word` is the word of a map that holds the address; without one the driver
    /// has to replace it.
    pub fn add_map(&mut self, offset: u32, group: u32, operand: Operand, word: Option<u32>) {
        match word {
            Some(word) => self.place(group, operand, offset / 8 + word),
            None => self.replaced.push(Replaced {
                word: offset / 8,
                group,
                operand,
            }),
        }
    }

    fn place(&mut self, group: u32, operand: Operand, word: u32) {
        let Some(places) = self.places.iter_mut().find(|p| p.group == group) else {
            return;
        };
        let first = &mut places.words[operand as usize];
        if *first == self.behind {
            *first = word;
        } else {
            self.copies.push(Copied {
                word,
                group,
                operand,
            });
        }
    }

    /// The table that [`Binding::store`] needs.
    pub fn outputs(&self) -> Outputs {
        let size = (2 * self.places.len()).next_power_of_two().max(2);
        Outputs {
            table: vec![EMPTY; size].into_boxed_slice(),
            shift: 64 - size.trailing_zeros(),
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
        for places in &self.places {
            let addresses = pointers[places.group as usize].0;
            for (word, address) in places.words.iter().zip(addresses) {
                bits |= address;
                null |= address == 0;
                block.set(*word, address);
            }
        }
        for copied in &self.copies {
            let address = pointers[copied.group as usize].0[copied.operand as usize];
            block.set(copied.word, address);
        }
        if bits & ALIGNMENT_MASK != 0 || null {
            return Err(self.bad_address(pointers));
        }
        self.check_outputs(outputs, pointers)
    }

    /// Refuses two equal outputs, in time linear in their number.
    #[inline]
    fn check_outputs(&self, outputs: &mut Outputs, pointers: &[Pointers]) -> Result<(), Error> {
        let output = |index: usize| pointers[self.places[index].group as usize].0[C];
        outputs.table.fill(EMPTY);
        let mask = outputs.table.len() - 1;
        for index in 0..self.places.len() {
            let mine = output(index);
            // Fibonacci hashing: the high bits of the product depend on all bits of the address.
            let mut at = (mine.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> outputs.shift) as usize;
            loop {
                let other = outputs.table[at & mask];
                if other == EMPTY {
                    outputs.table[at & mask] = index as u16;
                    break;
                }
                if output(usize::from(other)) == mine {
                    return Err(self.same_output(usize::from(other), index, mine));
                }
                at += 1;
            }
        }
        Ok(())
    }

    #[cold]
    fn same_output(&self, first: usize, second: usize, address: u64) -> Error {
        Error::SameOutput {
            groups: (self.places[first].group, self.places[second].group),
            address,
        }
    }

    /// Says which address is bad.
    #[cold]
    fn bad_address(&self, pointers: &[Pointers]) -> Error {
        use Operand::{A, B, C, Sfa, Sfb};
        for Places { group, .. } in &self.places {
            let addresses = pointers[*group as usize].0;
            for (operand, address) in [A, B, Sfa, Sfb, C].into_iter().zip(addresses) {
                let group = *group;
                if address == 0 {
                    return Error::Null { group, operand };
                }
                if address & ALIGNMENT_MASK != 0 {
                    return Error::Misaligned {
                        group,
                        operand,
                        address,
                    };
                }
            }
        }
        Error::Unbound
    }
}

/// Every group with tokens must have each operand in some place, every other group in none. An operand has several tensor
/// maps if its tiles have boxes of several sizes.
fn check_slots(entry: &KernelEntry) -> Result<(), String> {
    let block = &entry.parameters;
    let maps = block.tensor_maps.iter();
    let maps = maps.map(|slot| (slot.offset, 128, 64, slot.group, slot.operand));
    let pointers = block.pointers.iter();
    let pointers = pointers.map(|slot| (slot.offset, 8, 8, slot.group, slot.operand));
    if block.workspace_bytes > 0 {
        let offset = block.workspace_offset;
        if !offset.is_multiple_of(8) || u64::from(offset) + 8 > u64::from(block.bytes) {
            return Err(format!(
                "the address of its workspace, at offset {offset}, is not in its parameter block"
            ));
        }
    }
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
        if places.iter().any(|count| (*count > 0) != (*m > 0)) {
            return Err(format!(
                "group {group} does not have a slot for each operand"
            ));
        }
    }
    Ok(())
}
