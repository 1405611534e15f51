//! The constant tables that the kernel walks: CTAs to tiles, tiles to token tiles, token tiles to constants.

use super::Plan;

/// The three tables, one inner list a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// For each CTA: first tile, end of its tiles.
    pub ctas: Vec<Vec<u32>>,
    /// For each CTA: byte offset of the token tile's record and first weight row, of each of its tiles.
    pub tiles: Vec<Vec<u32>>,
    /// For each token tile: its record.
    pub token_tiles: Vec<Vec<u32>>,
}

/// Constant memory is 64 KiB; larger tables lie in global memory.
const CONSTANT_BYTES: usize = 65_536;

impl Plan {
    /// The tables' content. A table that would be empty has one line of zeros, since PTX knows no empty arrays.
    pub fn tables(&self) -> Tables {
        let record_bytes = self.table.record_bytes();
        let tile = |tile: &super::schedule::Tile| {
            [
                tile.token_tile as u32 * record_bytes,
                tile.weight_tile * super::WEIGHT_ROWS,
            ]
        };
        let ctas = self
            .schedule
            .ctas
            .iter()
            .map(|r| vec![r.start, r.end])
            .collect();
        let of_cta =
            |r: &std::ops::Range<u32>| &self.schedule.tiles[r.start as usize..r.end as usize];
        let tiles = self
            .schedule
            .ctas
            .iter()
            .map(|r| of_cta(r).iter().flat_map(tile).collect())
            .collect();
        let columns = &self.table.columns;
        let record = |i: usize| columns.iter().map(|c| c.values[i]).collect::<Vec<_>>();
        let token_tiles = (0..self.token_tiles.len())
            .map(record)
            .filter(|r| !r.is_empty())
            .collect();
        Tables {
            ctas: never_empty(ctas),
            tiles: never_empty(tiles),
            token_tiles: never_empty(token_tiles),
        }
    }

    /// State space of the tables and the instruction that reads them.
    pub fn table_space(&self) -> (&'static str, &'static str) {
        let words = 2 * self.schedule.ctas.len()
            + 2 * self.schedule.tiles.len()
            + self.token_tiles.len() * self.table.columns.len();
        if 4 * words.max(6) <= CONSTANT_BYTES {
            (".const", "ld.const")
        } else {
            (".global", "ld.global.nc")
        }
    }
}

fn never_empty(lines: Vec<Vec<u32>>) -> Vec<Vec<u32>> {
    if lines.is_empty() {
        vec![vec![0, 0]]
    } else {
        lines
    }
}
