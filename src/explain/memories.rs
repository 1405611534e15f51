//! The maps of a CTA's memories: what lies where.

use super::figures::{count, range, several};
use crate::plan::schedule::Tile;
use crate::plan::sm_100a::shared_memory::Ring;
use crate::plan::sm_100a::tensor_memory;
use crate::plan::{Plan, TargetPlan, sm_90a, sm_100a};
use serde::Serialize;

/// Tiles whose accumulators are drawn.
const TILES: usize = 8;

/// One memory, or a part of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemoryMap {
    /// Which.
    pub name: String,
    /// What its numbers count: bytes, columns.
    pub unit: &'static str,
    /// How many there are.
    pub capacity: u32,
    /// What should be known of it, in words.
    pub text: String,
    /// Its contents: one row for each kind of CTA, or for each tile.
    pub rows: Vec<MapRow>,
}

/// The contents of a memory in one case.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MapRow {
    /// Which case.
    pub name: String,
    /// What lies where, in order and without overlap.
    pub regions: Vec<Region>,
}

/// One stretch of a memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Region {
    /// What it holds.
    pub what: Holds,
    /// Its first byte or column.
    pub from: u32,
    /// The end.
    pub to: u32,
}

/// What a stretch of memory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Holds {
    /// A stage of the ring.
    Stage,
    /// Weights.
    Weights,
    /// Weight scales.
    WeightScales,
    /// Tokens.
    Tokens,
    /// Token scales.
    TokenScales,
    /// Tokens as f16.
    Slot,
    /// The epilogue's buffers.
    Staging,
    /// Barriers and small things.
    Barriers,
    /// Sums.
    Accumulator,
}

impl Holds {
    /// For legends.
    pub fn name(self) -> &'static str {
        match self {
            Holds::Stage => "stage",
            Holds::Weights => "weights",
            Holds::WeightScales => "weight scales",
            Holds::Tokens => "tokens",
            Holds::TokenScales => "token scales",
            Holds::Slot => "slot of tokens as f16",
            Holds::Staging => "staging",
            Holds::Barriers => "barriers",
            Holds::Accumulator => "accumulator",
        }
    }
}

fn region(what: Holds, from: u32, to: u32) -> Region {
    Region { what, from, to }
}

/// None if there is nothing to compute.
pub(super) fn maps(plan: &Plan) -> Vec<MemoryMap> {
    if plan.schedule.tiles.is_empty() {
        return Vec::new();
    }
    match &plan.kernel {
        TargetPlan::Sm100a(kernel) => {
            vec![shared(plan, kernel), stage(kernel), tensor(plan, kernel)]
        }
        TargetPlan::Sm90a(kernel) => {
            vec![hopper_shared(plan, kernel), hopper_stage(kernel)]
        }
    }
}

/// A row for each depth of ring.
fn shared(plan: &Plan, kernel: &sm_100a::Kernel) -> MemoryMap {
    let map = &kernel.shared;
    let kinds = kinds(&map.rings);
    let rows = kinds.iter().map(|(ring, workers)| {
        let mut regions = repeated(Holds::Stage, 0, ring.pitch, ring.stages);
        let warps = sm_100a::EPILOGUE_WARPS;
        regions.extend(repeated(
            Holds::Staging,
            map.staging,
            map.staging_bytes,
            warps,
        ));
        regions.push(region(Holds::Barriers, map.full, map.bytes));
        let ctas = workers * kernel.choices.side_by_side();
        MapRow {
            name: format!("{}: {} stages", several(ctas, "CTA"), ring.stages),
            regions,
        }
    });
    let stages = range(kinds.iter().map(|(ring, _)| ring.stages));
    MemoryMap {
        name: "Shared memory of a CTA".to_owned(),
        unit: "bytes",
        capacity: plan.target.shared_bytes,
        text: format!(
            "{} of {} bytes. A ring of {stages} stages, each one K block of {} long; as deep as the widest tile of the CTA \
             allows. Behind it a staging buffer for each warp of the epilogue, and the barriers.",
            count(map.bytes),
            count(plan.target.shared_bytes),
            kernel.choices.k_block
        ),
        rows: rows.collect(),
    }
}

/// The kinds of rings with their numbers of workers, the deepest first.
fn kinds(rings: &[Ring]) -> Vec<(Ring, u32)> {
    let mut kinds: Vec<(Ring, u32)> = Vec::new();
    for ring in rings {
        match kinds.iter_mut().find(|(known, _)| known == ring) {
            Some((_, workers)) => *workers += 1,
            None => kinds.push((*ring, 1)),
        }
    }
    kinds.sort_by_key(|(ring, _)| (std::cmp::Reverse(ring.stages), ring.rows));
    kinds
}

fn repeated(what: Holds, from: u32, bytes: u32, times: u32) -> Vec<Region> {
    (0..times)
        .map(|i| region(what, from + i * bytes, from + (i + 1) * bytes))
        .collect()
}

fn stage(kernel: &sm_100a::Kernel) -> MemoryMap {
    let stage = &kernel.shared.stage;
    let kinds = kinds(&kernel.shared.rings);
    let rows = kinds.iter().map(|(ring, _)| MapRow {
        name: format!("{} token rows", ring.rows),
        regions: vec![
            region(Holds::Weights, 0, stage.weight_scales),
            region(Holds::WeightScales, stage.weight_scales, stage.token_scales),
            region(
                Holds::TokenScales,
                stage.token_scales,
                stage.token_scales + stage.slabs * stage.slab_bytes,
            ),
            region(
                Holds::Tokens,
                stage.tokens,
                stage.tokens + ring.rows * stage.row_bytes,
            ),
        ],
    });
    let largest = kinds.iter().map(|(ring, _)| ring.pitch).max().unwrap_or(0);
    MemoryMap {
        name: "A stage".to_owned(),
        unit: "bytes",
        capacity: largest,
        text: format!(
            "Rows of {} bytes in {}-byte swizzle; stages start at multiples of 1,024 bytes. Tokens come last, so that only \
             the size of a stage depends on their number.",
            stage.row_bytes, stage.span
        ),
        rows: rows.collect(),
    }
}

/// A row for each of the first tiles of the CTA that has most.
fn tensor(plan: &Plan, kernel: &sm_100a::Kernel) -> MemoryMap {
    let tensor = &kernel.tensor;
    let busiest = plan
        .schedule
        .ctas
        .iter()
        .max_by_key(|range| (range.end - range.start, std::cmp::Reverse(range.start)))
        .map_or(0..0, |range| range.start as usize..range.end as usize);
    let tiles = &plan.schedule.tiles[busiest.clone()];
    let places = &tensor.places[busiest];
    let row = |(index, (tile, place)): (usize, (&Tile, &tensor_memory::Place))| {
        let width = plan.token_tiles[tile.token_tile]
            .width
            .next_multiple_of(kernel.choices.chunk);
        let after = place.after.map_or(String::new(), |ago| {
            format!(", after tile {}", index + 1 - ago as usize)
        });
        MapRow {
            name: format!("tile {}{after}", index + 1),
            regions: vec![
                region(Holds::Accumulator, place.column, place.column + width),
                region(
                    Holds::WeightScales,
                    tensor.weight_scales,
                    tensor.token_scales,
                ),
                region(Holds::TokenScales, tensor.token_scales, tensor.columns),
            ],
        }
    };
    let rows: Vec<MapRow> = tiles
        .iter()
        .zip(places)
        .enumerate()
        .take(TILES)
        .map(row)
        .collect();
    let left_out = match tiles.len() - rows.len() {
        0 => String::new(),
        more => format!(" {} more tiles follow.", more),
    };
    MemoryMap {
        name: "Tensor memory of a CTA".to_owned(),
        unit: "columns",
        capacity: tensor_memory::COLUMNS,
        text: format!(
            "{} of {} columns allocated, of 128 lanes and 4 bytes. Accumulators of the CTA with most tiles, one row a tile; \
             a tile that reuses columns waits until the epilogue has read the tile named. Scales of one K block at the right \
             end.{left_out}",
            tensor.columns,
            tensor_memory::COLUMNS
        ),
        rows,
    }
}

fn hopper_shared(plan: &Plan, kernel: &sm_90a::Kernel) -> MemoryMap {
    let map = &kernel.shared;
    let mut regions = repeated(Holds::Stage, 0, map.stage.bytes, map.stages);
    regions.extend(repeated(
        Holds::Slot,
        map.slots_at,
        map.slot_bytes,
        map.slots,
    ));
    if map.exchange < map.staging {
        regions.push(region(Holds::Accumulator, map.exchange, map.staging));
    }
    regions.extend(repeated(
        Holds::Staging,
        map.staging,
        map.staging_bytes,
        sm_90a::roles::TEAM_WARPS,
    ));
    regions.push(region(Holds::Barriers, map.full, map.bytes));
    MemoryMap {
        name: "Shared memory of a CTA".to_owned(),
        unit: "bytes",
        capacity: plan.target.shared_bytes,
        text: format!(
            "{} of {} bytes. A ring of {} stages, each one K block of {} long; {} slots with the tokens of a K block as \
             f16; a staging buffer for each warp of the epilogue; the barriers. Sums are in registers{}.",
            count(map.bytes),
            count(plan.target.shared_bytes),
            map.stages,
            sm_90a::K_BLOCK,
            map.slots,
            match kernel.roles.teams {
                1 => "",
                _ => ", those of the second team at last in a place of their own",
            }
        ),
        rows: vec![MapRow {
            name: "every CTA".to_owned(),
            regions,
        }],
    }
}

fn hopper_stage(kernel: &sm_90a::Kernel) -> MemoryMap {
    let stage = &kernel.shared.stage;
    let token_scales = stage.token_scales + stage.slabs * stage.slab_bytes;
    MemoryMap {
        name: "A stage".to_owned(),
        unit: "bytes",
        capacity: stage.bytes,
        text: format!(
            "Rows of {} bytes in 64-byte swizzle; stages start at multiples of 1,024 bytes.",
            stage.row_bytes
        ),
        rows: vec![MapRow {
            name: "every stage".to_owned(),
            regions: vec![
                region(Holds::Weights, 0, stage.tokens),
                region(Holds::Tokens, stage.tokens, stage.weight_scales),
                region(Holds::WeightScales, stage.weight_scales, stage.token_scales),
                region(Holds::TokenScales, stage.token_scales, token_scales),
            ],
        }],
    }
}
