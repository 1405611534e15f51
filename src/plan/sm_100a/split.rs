//! Sums over K that several CTAs share, and how their parts are brought together.
//!
//! *Cluster*: the parts of a tile are the CTAs of one cluster. Each hands every chunk of its accumulator to the CTA that
//! sums it, through distributed shared memory, in the ring's place: by then nobody loads any more, since such a CTA has but
//! one part.
//!
//! *Workspace*: each part is written to device memory, and whoever comes last adds them all up. Nobody waits for anybody,
//! so that parts may be dealt out like tiles. A warp has a counter of its own for each tile: what it adds up are the same
//! 32 weight rows of every part. The last one's increment sets the counter back to zero.
//!
//! Either way the parts are added in the order of K, whoever is last.

use super::{Choices, EPILOGUE_WARPS};
use crate::plan::schedule::{Order, Schedule};
use crate::plan::tiling::{GroupTiling, TokenTile};
use crate::plan::{Illegal, Rule, WEIGHT_ROWS};
use std::collections::HashMap;

/// How the parts of a split sum are brought together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Through the shared memory of a cluster's CTAs.
    Cluster,
    /// Through device memory.
    Workspace,
}

/// Most CTAs of a cluster that every device takes.
const MOST_CTAS: u32 = 8;
/// Bytes of an accumulator's element.
const ELEMENT: u32 = 4;
/// Bytes of a tile's counters, one a warp of the epilogue.
const COUNTER_BYTES: u32 = EPILOGUE_WARPS * 4;

impl Choices {
    /// Whether the CTAs of a cluster share a sum.
    pub fn splits_in_cluster(&self) -> bool {
        self.split_k > 1 && self.reduction == Reduction::Cluster
    }

    /// Whether sums are shared through a workspace.
    pub fn splits_in_workspace(&self) -> bool {
        self.order == Order::Stream || self.split_k > 1 && self.reduction == Reduction::Workspace
    }

    /// Bytes of a chunk of an accumulator.
    pub fn chunk_bytes(&self) -> u32 {
        WEIGHT_ROWS * self.chunk * ELEMENT
    }

    /// Refuses splits that cannot be.
    pub(super) fn check_split(&self, tilings: &[GroupTiling]) -> Result<(), Illegal> {
        let refuse = |detail| Err(Illegal::new(Rule::SplitK, detail));
        let streams = self.order == Order::Stream;
        if !streams && self.split_k == 1 {
            return Ok(());
        }
        if self.split_k == 0 {
            return refuse("a sum of 0 parts".to_owned());
        }
        if self.side_by_side() > 1 {
            return refuse("two CTAs side by side share no sum with others".to_owned());
        }
        if streams && (self.split_k > 1 || self.reduction == Reduction::Cluster) {
            return refuse(
                "a stream of K blocks is cut by itself, and summed in the workspace".to_owned(),
            );
        }
        if self.splits_in_cluster() && self.split_k > MOST_CTAS {
            return refuse(format!("clusters of {} CTAs", self.split_k));
        }
        match tilings.iter().find(|t| t.k_blocks < self.split_k) {
            Some(t) => refuse(format!(
                "group {} has {} K blocks for {} parts",
                t.group, t.k_blocks, self.split_k
            )),
            None => Ok(()),
        }
    }

    /// Refuses to exchange more than the ring's place holds: for each chunk that a CTA sums, as many as there are parts.
    pub(super) fn check_exchange(
        &self,
        token_tiles: &[TokenTile],
        room: u32,
    ) -> Result<(), Illegal> {
        if !self.splits_in_cluster() {
            return Ok(());
        }
        let chunks = |t: &TokenTile| t.rows.div_ceil(self.chunk);
        let chunks = token_tiles.iter().map(chunks).max().unwrap_or(0);
        let bytes = chunks.next_multiple_of(self.split_k) * self.chunk_bytes();
        if bytes > room {
            let detail = format!("parts of {bytes} bytes in the place of a ring of {room}");
            return Err(Illegal::new(Rule::Exchange, detail));
        }
        Ok(())
    }
}

/// Where one part of a tile finds the tile's sum in the workspace. Offsets in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The counters.
    pub counters: u32,
    /// The first part.
    pub parts: u32,
    /// Distance of two parts.
    pub pitch: u32,
}

/// The workspace: counters first, then the parts of every tile that is split.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workspace {
    /// Bytes in all; 0 if there is none.
    pub bytes: u32,
    /// The place of each tile of the schedule; zeros where it is whole.
    pub places: Vec<Place>,
}

/// Lays out the workspace.
pub fn workspace(
    schedule: &Schedule,
    token_tiles: &[TokenTile],
    choices: &Choices,
) -> Result<Workspace, Illegal> {
    if !choices.splits_in_workspace() {
        return Ok(Workspace::default());
    }
    let mut sums: HashMap<(usize, u32), (u32, u64)> = HashMap::new();
    let mut bytes = 0u64;
    let pitch =
        |tile: usize| token_tiles[tile].rows.div_ceil(choices.chunk) * choices.chunk_bytes();
    for tile in schedule.tiles.iter().filter(|t| t.part.of > 1) {
        let index = sums.len() as u32;
        sums.entry((tile.token_tile, tile.weight_tile))
            .or_insert_with(|| {
                let first = bytes;
                bytes += u64::from(tile.part.of) * u64::from(pitch(tile.token_tile));
                (index, first)
            });
    }
    let counters = (u64::from(COUNTER_BYTES) * sums.len() as u64).next_multiple_of(128);
    let total = counters + bytes;
    if total > u64::from(u32::MAX) {
        let detail = format!("a workspace of {total} bytes");
        return Err(Illegal::new(Rule::Exchange, detail));
    }
    let place = |tile: &crate::plan::schedule::Tile| {
        let sum = sums.get(&(tile.token_tile, tile.weight_tile));
        sum.map_or(Place::default(), |&(index, first)| Place {
            counters: index * COUNTER_BYTES,
            parts: (counters + first) as u32,
            pitch: pitch(tile.token_tile),
        })
    };
    Ok(Workspace {
        bytes: total as u32,
        places: schedule.tiles.iter().map(place).collect(),
    })
}
