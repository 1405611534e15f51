//! The constant table that the kernel walks: one row a tile, and in it whatever differs from tile to tile.
//!
//! What is the same for every tile of the set becomes an immediate in the code; only what differs takes a column of the
//! table. So the code of a set with one K knows its K, and a set with many does not grow. Row c is the first tile of
//! CTA c, and every row says how far away the CTA's next one is: whoever knows its CTA finds all about its first tile in
//! one step.

use super::schedule::{Part, Schedule, Tile};
use super::tiling::{GroupTiling, TokenTile};

/// One tile, with everything that is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The CTA that computes it.
    pub cta: usize,
    /// Its index in the schedule.
    pub index: usize,
    /// The tile.
    pub tile: Tile,
    /// Its tokens.
    pub token_tile: &'a TokenTile,
    /// Its group.
    pub tiling: &'a GroupTiling,
    /// Index of its group among those that have tokens.
    pub tiling_index: u32,
    /// Rows from here to the CTA's next tile; 0 if there is none.
    pub next: u32,
}

/// What a CTA without tiles has to do with one of another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The CTA that computes the tile.
    pub cta: usize,
    /// The tile's index in the schedule.
    pub index: usize,
    /// What of the sum over K is meant.
    pub part: Part,
}

/// The rows of the table: the first tiles of all CTAs, then the others, CTA by CTA. CTAs without tiles come behind
/// those that have some; each visits at least one.
pub fn rows<'a>(
    schedule: &Schedule,
    visits: &[Vec<Visit>],
    token_tiles: &'a [TokenTile],
    tilings: &'a [GroupTiling],
) -> Vec<Row<'a>> {
    let row = |visit: &Visit, next: u32| {
        let tile = Tile {
            part: visit.part,
            ..schedule.tiles[visit.index]
        };
        let token_tile = &token_tiles[tile.token_tile];
        Row {
            cta: visit.cta,
            index: visit.index,
            tile,
            token_tile,
            tiling: &tilings[token_tile.tiling],
            tiling_index: token_tile.tiling as u32,
            next,
        }
    };
    let of_cta = |(cta, range): (usize, &std::ops::Range<u32>)| {
        let visit = |index: u32| Visit {
            cta,
            index: index as usize,
            part: schedule.tiles[index as usize].part,
        };
        range.clone().map(visit).collect()
    };
    let mut ways: Vec<Vec<Visit>> = schedule.ctas.iter().enumerate().map(of_cta).collect();
    ways.extend_from_slice(visits);
    let mut first = Vec::new();
    let mut others = Vec::new();
    for (place, way) in ways.iter().enumerate() {
        let to_second = if way.len() > 1 {
            (ways.len() + others.len() - place) as u32
        } else {
            0
        };
        first.push(row(&way[0], to_second));
        let is_not_last = |i: usize| u32::from(i + 1 < way.len());
        others.extend((1..way.len()).map(|i| row(&way[i], is_not_last(i))));
    }
    first.extend(others);
    first
}

/// Where the code finds a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constant {
    /// The same for all tiles.
    Immediate(u32),
    /// At this byte offset of the tile's row.
    Column(u32),
}

/// A column of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The constant's name.
    pub name: &'static str,
    /// Its value for each row.
    pub values: Vec<u32>,
}

/// The table of what differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Columns in the order of a row's words.
    pub columns: Vec<Column>,
}

/// Constant memory is 64 KiB; larger tables lie in global memory.
const CONSTANT_BYTES: usize = 65_536;

impl Table {
    /// An immediate if all values are the same, else a new column.
    pub fn place(&mut self, name: &'static str, values: Vec<u32>) -> Constant {
        match values.split_first() {
            None => Constant::Immediate(0),
            Some((first, rest)) if rest.iter().all(|v| v == first) => Constant::Immediate(*first),
            Some(_) => {
                self.columns.push(Column { name, values });
                Constant::Column(4 * (self.columns.len() as u32 - 1))
            }
        }
    }

    /// Bytes of a row.
    pub fn row_bytes(&self) -> u32 {
        4 * self.columns.len() as u32
    }

    /// The rows' words. A table that would be empty has one row of a zero, since PTX knows no empty arrays.
    pub fn lines(&self) -> Vec<Vec<u32>> {
        let rows = self.columns.first().map_or(0, |c| c.values.len());
        if rows == 0 {
            return vec![vec![0]];
        }
        let line = |row: usize| self.columns.iter().map(|c| c.values[row]).collect();
        (0..rows).map(line).collect()
    }

    /// State space of the table and the instruction that reads it.
    pub fn space(&self) -> (&'static str, &'static str) {
        let words: usize = self.columns.iter().map(|c| c.values.len()).sum();
        if 4 * words <= CONSTANT_BYTES {
            (".const", "ld.const")
        } else {
            (".global", "ld.global.nc")
        }
    }
}
