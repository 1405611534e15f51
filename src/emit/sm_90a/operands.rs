//! Words of packed elements, the registers and the places in shared memory that they are dequantised to.

use super::list;
use crate::plan::sm_90a::shared_memory::SharedMap;

/// Eight elements in a word, and the registers that get them as four pairs of f16.
pub struct Word {
    pub word: String,
    pub scales: String,
    /// Selector that doubles the scale of the word's block.
    pub broadcast: &'static str,
    pub pairs: [String; 4],
}

/// The scale of the even block of 16 is in the low half of its register, that of the odd one in the high half.
const BROADCAST: [&str; 2] = ["0x1010", "0x3232"];

/// A 16-byte unit of a token's row: 32 elements.
pub struct TokenUnit {
    pub index: u32,
    pub words: String,
}

impl TokenUnit {
    pub fn new(index: u32) -> Self {
        TokenUnit {
            index,
            words: list((0..4).map(|i| format!("%x{}", 4 * index + i))),
        }
    }
}

/// Half of a token's even or odd blocks: one word of each, that is 32 elements and four 16-byte units of the slot.
pub struct TokenHalf {
    pub comment: String,
    pub words: Vec<Word>,
    pub slot_offset: u32,
    pub stores: Vec<Store>,
}

/// One 16-byte unit of the slot: the same pair of all four blocks.
pub struct Store {
    pub unit: u32,
    pub pairs: String,
}

impl TokenHalf {
    pub fn new(half: u32, word: u32, shared: &SharedMap) -> Self {
        let of_block = |block: u32| Word {
            word: format!("%x{}", 4 * block + 2 * half + word),
            scales: format!("%scales{block}"),
            broadcast: BROADCAST[half as usize],
            pairs: [0, 1, 2, 3].map(|i| format!("%pair{}", 4 * block + i)),
        };
        let store = |pair: u32| Store {
            unit: 4 * word + pair,
            pairs: list((0..4).map(|block| format!("%pair{}", 4 * block + pair))),
        };
        TokenHalf {
            comment: format!(
                "{} scale blocks, word {word} of each.",
                ["Even", "Odd"][half as usize]
            ),
            words: (0..4).map(of_block).collect(),
            slot_offset: half * shared.half_slot_bytes,
            stores: (0..4).map(store).collect(),
        }
    }
}

/// A word of a token's 32 of K, which one lane has alone: eight elements, a quarter of each of four 16-byte units.
pub struct TokenWord {
    pub comment: String,
    pub word: Word,
    pub slot_offset: u32,
    pub stores: Vec<Store>,
}

impl TokenWord {
    pub fn new(index: u32, shared: &SharedMap) -> Self {
        let (half, word) = (index / 2, index % 2);
        let pair = |i: u32| format!("%pair{i}");
        TokenWord {
            comment: format!(
                "{} scale block, word {word}.",
                ["Even", "Odd"][half as usize]
            ),
            word: Word {
                word: format!("%x{index}"),
                scales: "%scales0".to_owned(),
                broadcast: BROADCAST[half as usize],
                pairs: [0, 1, 2, 3].map(pair),
            },
            slot_offset: half * shared.half_slot_bytes,
            stores: (0..4)
                .map(|i| Store {
                    unit: 4 * word + i,
                    pairs: pair(i),
                })
                .collect(),
        }
    }
}

/// The tokens' operand of one MMA: descriptor distance (16-byte units) from the start of the slot.
pub struct TokenStep {
    pub index: u32,
    pub distance: u32,
}

impl TokenStep {
    pub fn new(index: u32, shared: &SharedMap) -> Self {
        TokenStep {
            index,
            distance: (index / 4 * shared.half_slot_bytes + index % 4 * 32) >> 4,
        }
    }
}

/// The even or the odd scale blocks of a K block: four words a lane, four MMAs.
pub struct WeightHalf {
    pub comment: &'static str,
    pub words: Vec<Word>,
    pub mmas: Vec<Mma>,
}

pub struct Mma {
    pub a: String,
    pub tokens: String,
}

impl WeightHalf {
    pub fn new(half: u32) -> Self {
        let register = |index: u32| format!("%a{}", 16 * half + index);
        // MMA j takes pairs 2j and 2j + 1 of the upper and of the lower row: registers upper, lower, upper, lower.
        let of_row = |row: u32, name: &str, word: u32| Word {
            word: format!("%{name}{}", 2 * half + word),
            scales: format!("%{name}_scales"),
            broadcast: BROADCAST[half as usize],
            pairs: [0, 1, 2, 3].map(|i| register(8 * word + 2 * i + row)),
        };
        let words = (0..2).flat_map(|word| [of_row(0, "upper", word), of_row(1, "lower", word)]);
        let mma = |j: u32| Mma {
            a: list((0..4).map(|i| register(4 * j + i))),
            tokens: format!("%tokens{}", 4 * half + j),
        };
        WeightHalf {
            comment: ["the even scale blocks.", "the odd scale blocks."][half as usize],
            words: words.collect(),
            mmas: (0..4).map(mma).collect(),
        }
    }
}
