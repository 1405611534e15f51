//! How the values of split sums are written.

use crate::plan::WEIGHT_ROWS;
use crate::plan::sm_100a::Choices;

/// Four values of a chunk that a thread holds, and their place among all threads'.
pub struct Quad {
    pub offset: u32,
    /// Empty where at least one of its eight tokens always exists.
    pub guard: String,
    /// The registers that they are summed in, as a list.
    pub sum: String,
    /// Registers for four more.
    pub other: String,
    pub pairs: Vec<Pair>,
}

/// A register of the sum and one of what is added.
pub struct Pair {
    pub sum: String,
    pub other: String,
}

/// All values of a thread: as many as a chunk has columns.
pub fn quads(chunk: u32) -> Vec<Quad> {
    let register = |i: u32| match i.checked_sub(chunk / 2) {
        None => format!("%low_lanes{i}"),
        Some(i) => format!("%high_lanes{i}"),
    };
    let pair = |i| Pair {
        sum: register(i),
        other: format!("%other{i}"),
    };
    let quad = |index: u32| {
        let pairs: Vec<Pair> = (4 * index..4 * index + 4).map(pair).collect();
        let list = |of: fn(&Pair) -> &str| pairs.iter().map(of).collect::<Vec<_>>().join(", ");
        Quad {
            offset: index * WEIGHT_ROWS * 16,
            guard: match index % (chunk / 8) {
                0 => String::new(),
                eight => format!("@%eight{eight} "),
            },
            sum: list(|p| &p.sum),
            other: list(|p| &p.other),
            pairs,
        }
    };
    (0..chunk / 4).map(quad).collect()
}

/// Eight tokens of a chunk that a tile may lack.
pub struct Eight {
    pub index: u32,
    /// Tokens before them.
    pub tokens: u32,
}

/// All eights but the first.
pub fn eights(chunk: u32) -> Vec<Eight> {
    let eight = |index| Eight {
        index,
        tokens: 8 * index,
    };
    (1..chunk / 8).map(eight).collect()
}

/// A part of a chunk in shared memory, but for the first.
pub struct LaterPart {
    offset: u32,
}

impl LaterPart {
    pub fn at(&self, quad: &Quad) -> u32 {
        self.offset + quad.offset
    }
}

/// All parts but the first.
pub fn later_parts(choices: &Choices) -> Vec<LaterPart> {
    let part = |part| LaterPart {
        offset: part * choices.chunk_bytes(),
    };
    (1..choices.split_k).map(part).collect()
}
