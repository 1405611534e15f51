//! Kernels in outline: enough to price designs that nobody has planned here, the published ones among them.

use super::workload::{Kernel, Mma, Operand, Stream, Tile, Worker, Workload};
use crate::problem::Group;

/// Rows of a chunk of weights, and of a slab of scales.
const ROWS: u32 = 128;
/// K of one MMA.
const STEP_K: u32 = 64;

/// A grouped GEMM kernel in outline.
#[derive(Clone, Debug, PartialEq)]
pub struct Outline {
    /// What it is.
    pub name: String,
    /// The problem.
    pub groups: Vec<Group>,
    /// Weight rows of a tile, for each SM: 128 or 256.
    pub weight_rows: u32,
    /// Most tokens of a tile.
    pub token_rows: u32,
    /// Which operand lies on the tensor core's M side, and how wide its operations are.
    pub sides: Sides,
    /// K elements of a stage.
    pub k_block: u32,
    /// Parts into which K is split.
    pub split_k: u32,
    /// Most workers: CTAs or pairs.
    pub workers: u32,
    /// Who computes what.
    pub order: Order,
    /// The rest. `kernel.sms` is 2 for pairs.
    pub kernel: Kernel,
}

/// How a tile is put on the tensor core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sides {
    /// Tokens on the M side, padded to 128.
    TokensOnM,
    /// Weights on the M side, tokens on the N side in operations of exactly 128 columns.
    WeightsOnMFixed,
    /// Weights on the M side, one operation as wide as the tile has tokens, rounded up to 16.
    WeightsOnM,
}

/// Who computes what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Worker w takes tiles w, w + workers, ... of the list by descending M; weights or tokens run fastest.
    Turns {
        /// Tokens run fastest.
        tokens_first: bool,
    },
    /// A worker keeps its weight rows and takes every so many-th token tile.
    Columns,
    /// Heaviest tile first, to the worker that has least.
    Balanced,
}

/// A tile by its place.
#[derive(Clone, Copy)]
struct Place {
    group: usize,
    first_token: u32,
    tokens: u32,
    weight_tile: u32,
    part: u32,
}

impl Outline {
    /// The launch that it stands for.
    pub fn workload(&self) -> Workload {
        let chunks = Chunks::new(self);
        let workers = self.assign();
        let tiles = |places: &Vec<Place>| places.iter().map(|p| self.tile(p, &chunks)).collect();
        Workload {
            prefetches: Vec::new(),
            name: self.name.clone(),
            chunks: chunks.count,
            workers: workers
                .iter()
                .map(|places| Worker {
                    tiles: tiles(places),
                    extra_stages: 0,
                })
                .collect(),
            kernel: self.kernel.clone(),
        }
    }

    /// Weight rows of a worker's tile.
    fn rows(&self) -> u32 {
        self.weight_rows * self.kernel.sms
    }

    fn assign(&self) -> Vec<Vec<Place>> {
        let mut order: Vec<usize> = (0..self.groups.len()).collect();
        order.sort_by_key(|&g| std::cmp::Reverse(self.groups[g].m));
        match self.order {
            Order::Turns { tokens_first } => self.in_turns(&order, tokens_first),
            Order::Columns => self.in_columns(&order),
            Order::Balanced => self.balanced(&order),
        }
    }

    fn token_tiles(&self, group: usize) -> impl Iterator<Item = (u32, u32)> + use<> {
        let (m, step) = (self.groups[group].m, self.token_rows);
        (0..m.div_ceil(step)).map(move |i| (i * step, step.min(m - i * step)))
    }

    fn places(&self, order: &[usize], tokens_first: bool) -> Vec<Place> {
        let mut places = Vec::new();
        for &group in order {
            let columns = self.groups[group].n.div_ceil(self.rows());
            let token_tiles: Vec<_> = self.token_tiles(group).collect();
            let mut put = |weight_tile, (first_token, tokens)| {
                places.extend((0..self.split_k).map(|part| Place {
                    group,
                    first_token,
                    tokens,
                    weight_tile,
                    part,
                }));
            };
            if tokens_first {
                (0..columns).for_each(|w| token_tiles.iter().for_each(|&t| put(w, t)));
            } else {
                token_tiles
                    .iter()
                    .for_each(|&t| (0..columns).for_each(|w| put(w, t)));
            }
        }
        places
    }

    fn in_turns(&self, order: &[usize], tokens_first: bool) -> Vec<Vec<Place>> {
        let places = self.places(order, tokens_first);
        let workers = (self.workers as usize).min(places.len()).max(1);
        let mut lists = vec![Vec::new(); workers];
        for (i, place) in places.into_iter().enumerate() {
            lists[i % workers].push(place);
        }
        lists
    }

    /// Workers are numbered weight tile first, as a grid with the weight tiles along x starts them.
    fn in_columns(&self, order: &[usize]) -> Vec<Vec<Place>> {
        let columns = self.groups.first().map_or(1, |g| g.n.div_ceil(self.rows()));
        let token_tiles: Vec<_> = order
            .iter()
            .flat_map(|&group| self.token_tiles(group).map(move |t| (group, t)))
            .collect();
        let high = (self.workers / columns).clamp(1, token_tiles.len().max(1) as u32);
        let take = |y: u32, weight_tile: u32| {
            let every = token_tiles.iter().skip(y as usize).step_by(high as usize);
            let place = |&(group, (first_token, tokens)): &(usize, (u32, u32))| Place {
                group,
                first_token,
                tokens,
                weight_tile,
                part: 0,
            };
            every.map(place).collect()
        };
        (0..high)
            .flat_map(|y| (0..columns).map(move |x| (y, x)))
            .map(|(y, x)| take(y, x))
            .collect()
    }

    fn balanced(&self, order: &[usize]) -> Vec<Vec<Place>> {
        let mut places = self.places(order, true);
        let weight = |p: &Place| {
            let k = u64::from(self.groups[p.group].k / self.split_k);
            k * u64::from(self.weight_rows + p.tokens / self.kernel.sms)
        };
        places.sort_by_key(|p| std::cmp::Reverse(weight(p)));
        let workers = (self.workers as usize).min(places.len()).max(1);
        let mut lists = vec![(0u64, Vec::new()); workers];
        for place in places {
            let (load, list) = lists
                .iter_mut()
                .min_by_key(|(load, _)| *load)
                .expect("one worker");
            *load += weight(&place);
            list.push(place);
        }
        lists.into_iter().map(|(_, list)| list).collect()
    }

    fn tile(&self, place: &Place, chunks: &Chunks) -> Tile {
        let group = &self.groups[place.group];
        let all_blocks = group.k.div_ceil(self.k_block);
        let bound = |part: u32| all_blocks * part / self.split_k;
        let (from, to) = (bound(place.part), bound(place.part + 1));
        let (row_bytes, slab_bytes) = (self.k_block / 2, ROWS * self.k_block / 16);
        let slabs = (place.first_token % ROWS + place.tokens).div_ceil(ROWS);
        let token_bytes = place.tokens * row_bytes + slabs * slab_bytes;
        let weight_bytes = ROWS * row_bytes + slab_bytes;
        let stream = |operand, chunk: u32, bytes| Stream {
            operand,
            first_chunk: chunk + from,
            bytes,
            last_bytes: bytes,
        };
        let weight_chunks = self.rows() / ROWS;
        let mut streams: Vec<_> = (0..weight_chunks)
            .map(|i| chunks.weights(place.group, place.weight_tile * weight_chunks + i))
            .map(|chunk| stream(Operand::Weights, chunk, weight_bytes))
            .collect();
        let token_tile = place.first_token / self.token_rows;
        let token_chunk = chunks.tokens(place.group, token_tile);
        streams.push(stream(Operand::Tokens, token_chunk, token_bytes));
        let own_tokens = place.tokens.div_ceil(self.kernel.sms);
        let (mma, mmas) = self.mma(place.tokens);
        let columns = match self.sides {
            Sides::TokensOnM => self.weight_rows,
            _ => place.tokens.next_multiple_of(16),
        };
        let weight_slabs = self.weight_rows / ROWS;
        Tile {
            streams,
            k_blocks: to - from,
            steps: self.k_block / STEP_K,
            last_steps: self.k_block / STEP_K,
            fill_bytes: weight_slabs * weight_bytes + own_tokens * row_bytes + slabs * slab_bytes,
            copies: 3 + slabs,
            mma,
            mmas,
            scale_copies: weight_slabs + slabs,
            dequantise_cycles: 0.0,
            columns,
            store_bytes: place.tokens * self.rows() * 2,
            sum: (self.split_k > 1).then(|| chunks.sum(place, self)),
        }
    }

    fn mma(&self, tokens: u32) -> (Mma, u32) {
        let ctas = self.kernel.sms;
        let mma = |rows, columns| Mma {
            rows,
            columns,
            ctas,
        };
        match self.sides {
            Sides::TokensOnM => (mma(ROWS * ctas, self.weight_rows * ctas), 1),
            Sides::WeightsOnMFixed => (
                mma(ROWS * ctas, ROWS.min(self.token_rows)),
                tokens.div_ceil(ROWS),
            ),
            Sides::WeightsOnM => (mma(ROWS * ctas, tokens.next_multiple_of(16)), 1),
        }
    }
}

/// Numbers of the chunks.
struct Chunks {
    /// First chunk of each group's weights and tokens, and K blocks.
    groups: Vec<(u32, u32, u32)>,
    count: u32,
}

impl Chunks {
    fn new(outline: &Outline) -> Self {
        let mut count = 0;
        let groups = outline.groups.iter().map(|g| {
            let blocks = g.k.div_ceil(outline.k_block);
            let weights = count;
            let tokens = weights + g.n.next_multiple_of(outline.rows()) / ROWS * blocks;
            count = tokens + g.m.div_ceil(outline.token_rows) * blocks;
            (weights, tokens, blocks)
        });
        let groups = groups.collect();
        Chunks { groups, count }
    }

    fn weights(&self, group: usize, tile: u32) -> u32 {
        let (weights, _, blocks) = self.groups[group];
        weights + tile * blocks
    }

    fn tokens(&self, group: usize, tile: u32) -> u32 {
        let (_, tokens, blocks) = self.groups[group];
        tokens + tile * blocks
    }

    /// A number for each tile of the output.
    fn sum(&self, place: &Place, outline: &Outline) -> u32 {
        let tiles = |g: &Group| g.n.div_ceil(outline.rows()) * g.m.div_ceil(outline.token_rows);
        let before: u32 = outline.groups[..place.group].iter().map(tiles).sum();
        let columns = outline.groups[place.group].n.div_ceil(outline.rows());
        before + place.first_token / outline.token_rows * columns + place.weight_tile
    }
}
