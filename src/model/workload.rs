//! A launch, described abstractly enough to price kernels that nobody has planned yet.
//!
//! Memory is a list of *chunks*: what one operand has in one K block of one tile row. The first load of a chunk comes
//! from device memory, every later one from L2. A *worker* is what runs in step: a CTA, or a pair of CTAs that multiply
//! together. It works through its tiles; each tile is a run of K blocks that pass a ring of stages, an accumulator, and an
//! epilogue.

use super::machine::Machine;
use super::mma::step_us;

/// One launch.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// What it is.
    pub name: String,
    /// Number of chunks; streams refer to them by index.
    pub chunks: u32,
    /// What each worker does, in the order in which workers are started.
    pub workers: Vec<Worker>,
    /// What each worker without tiles asks L2 to fetch, in order.
    pub prefetches: Vec<Vec<Prefetch>>,
    /// What all workers have in common.
    pub kernel: Kernel,
}

/// Consecutive chunks of weights that are fetched into L2 and no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefetch {
    /// The first chunk.
    pub first_chunk: u32,
    /// How many.
    pub chunks: u32,
    /// Bytes of each but the last.
    pub bytes: u32,
    /// Bytes of the last one.
    pub last_bytes: u32,
}

/// The tiles of one worker, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Worker {
    /// The tiles.
    pub tiles: Vec<Tile>,
    /// Stages that its ring has beyond those that all rings have.
    pub extra_stages: u32,
}

/// One tile of one output, or a share of its sum over K.
#[derive(Clone, Debug, PartialEq)]
pub struct Tile {
    /// What each K block loads.
    pub streams: Vec<Stream>,
    /// K blocks.
    pub k_blocks: u32,
    /// K = 64 steps of a full K block.
    pub steps: u32,
    /// K = 64 steps of the last K block.
    pub last_steps: u32,
    /// Bytes that a full K block brings into each SM. Less than the streams' sum when a pair shares the tokens.
    pub fill_bytes: u32,
    /// Bulk loads that one thread issues for a K block.
    pub copies: u32,
    /// What the tensor core does in each step.
    pub mma: Mma,
    /// Multiplications in each step.
    pub mmas: u32,
    /// Copies of 512 bytes of scales to tensor memory in each step.
    pub scale_copies: u32,
    /// Cycles that the operands of each step keep other units of the SM busy: the tensor core cannot be faster.
    pub dequantise_cycles: f64,
    /// Accumulator columns that the epilogue of each SM reads.
    pub columns: u32,
    /// Bytes of C that the worker stores.
    pub store_bytes: u32,
    /// The index of the sum that this tile is a share of, if K is split.
    pub sum: Option<u32>,
}

/// One operand of a tile: consecutive chunks along K.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// What it is.
    pub operand: Operand,
    /// The chunk of the tile's first K block.
    pub first_chunk: u32,
    /// Bytes of a full K block.
    pub bytes: u32,
    /// Bytes of the last K block.
    pub last_bytes: u32,
}

/// The side of the product that a stream belongs to, scales included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// B and its scales.
    Weights,
    /// A and its scales.
    Tokens,
}

/// The shape of one block-scaled MMA of K = 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mma {
    /// Rows over all CTAs that take part: 128 or 256.
    pub rows: u32,
    /// Columns.
    pub columns: u32,
    /// CTAs that take part: 1 or 2.
    pub ctas: u32,
}

/// What all workers of a launch have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    /// SMs of a worker: 1, or 2 for a pair.
    pub sms: u32,
    /// Bytes of kernel parameters.
    pub parameter_bytes: u32,
    /// Addresses are a table that the host copies to the device in front of each launch.
    pub uploads: bool,
    /// Stages of the smallest ring.
    pub stages: u32,
    /// Accumulators.
    pub accumulators: u32,
    /// Columns after whose reading the next tile may use the accumulator. None: all of them.
    pub release_after: Option<u32>,
    /// Columns that the epilogue handles at a time.
    pub slice: u32,
    /// The first ring of stages is loaded without waiting for barriers.
    pub unconditional_start: bool,
    /// The load warp waits for the allocation of tensor memory.
    pub allocate_first: bool,
    /// The tensor maps are prefetched during set-up.
    pub prefetch_maps: bool,
    /// Programmatic dependent launch, if used.
    pub programmatic: Option<Programmatic>,
    /// How split sums are brought together.
    pub reduction: Reduction,
}

/// What a programmatic launch does before the previous kernel has finished, set-up apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Programmatic {
    /// What is loaded early.
    pub early: Early,
    /// Shared and tensor memory have room for a CTA of the next launch beside one of this.
    pub beside: bool,
}

/// What may be loaded before the previous kernel has finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Early {
    /// Nothing.
    Nothing,
    /// The first ring of weights and their scales.
    Weights,
    /// Everything: the caller promises that no running kernel writes tokens either, or reads or writes C.
    Everything,
}

/// How split sums are brought together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// K is not split.
    None,
    /// f32 atomics to memory; no one waits for anyone.
    Atomics,
    /// Through distributed shared memory: each of the given number of CTAs sums and stores its part of the tile.
    Cluster(u32),
}

impl Workload {
    /// Bytes that loads request, L2 hits included.
    pub fn requested_bytes(&self) -> u64 {
        let loads = self.each_load().map(|(_, bytes)| u64::from(bytes));
        let ahead = self.prefetches.iter().flatten().map(Prefetch::total_bytes);
        loads.sum::<u64>() + ahead.sum::<u64>()
    }

    /// Bytes that must come from device memory: each chunk once, as the first load of it has it.
    pub fn distinct_bytes(&self) -> u64 {
        let mut seen = vec![false; self.chunks as usize];
        self.each_load()
            .filter(|&(chunk, _)| !std::mem::replace(&mut seen[chunk as usize], true))
            .map(|(_, bytes)| u64::from(bytes))
            .sum()
    }

    /// Bytes of C that are stored.
    pub fn stored_bytes(&self) -> u64 {
        self.each_tile().map(|t| u64::from(t.store_bytes)).sum()
    }

    /// K blocks of all tiles: what a simulation of one launch goes through.
    pub fn events(&self) -> u64 {
        let ahead = self.prefetches.iter().flatten();
        let ahead = ahead.map(|p| u64::from(p.chunks)).sum::<u64>();
        self.each_tile().map(|t| u64::from(t.k_blocks)).sum::<u64>() + ahead
    }

    /// What no simulation can be below, in microseconds: device memory, the fill of the busiest SM, its tensor core,
    /// whichever takes longest, after the upload of a table.
    pub fn bound_us(&self, machine: &Machine) -> f64 {
        let dram = self.distinct_bytes() as f64 * 1e-6 / machine.dram_tb_s.value;
        let busiest = |us: &dyn Fn(&Tile) -> f64| {
            let of = |w: &Worker| w.tiles.iter().map(us).sum::<f64>();
            self.workers.iter().map(of).fold(0.0, f64::max)
        };
        let blocks = |t: &Tile| f64::from(t.k_blocks.saturating_sub(1));
        let fill =
            busiest(&|t| blocks(t) * f64::from(t.fill_bytes) * 1e-3 / machine.sm_fill_gb_s.value);
        let tensor = busiest(&|t| blocks(t) * f64::from(t.steps) * step_us(t, machine));
        let upload = match self.kernel.uploads {
            true => machine.upload_us.value,
            false => 0.0,
        };
        upload + dram.max(fill).max(tensor)
    }

    /// SMs that have work.
    pub fn busy_sms(&self) -> u32 {
        self.workers.len() as u32 * self.kernel.sms
    }

    fn each_tile(&self) -> impl Iterator<Item = &Tile> {
        self.workers.iter().flat_map(|w| &w.tiles)
    }

    fn each_load(&self) -> impl Iterator<Item = (u32, u32)> {
        self.each_tile().flat_map(|tile| {
            (0..tile.k_blocks).flat_map(move |block| {
                let stream = move |s: &Stream| (s.first_chunk + block, s.bytes_of(block, tile));
                tile.streams.iter().map(stream)
            })
        })
    }
}

impl Stream {
    /// Bytes of one K block of the tile.
    pub fn bytes_of(&self, block: u32, tile: &Tile) -> u32 {
        if block + 1 == tile.k_blocks {
            self.last_bytes
        } else {
            self.bytes
        }
    }
}

impl Prefetch {
    /// Each chunk with its bytes.
    pub fn each(self) -> impl Iterator<Item = (u32, u32)> {
        let bytes = move |chunk| match chunk + 1 == self.chunks {
            true => self.last_bytes,
            false => self.bytes,
        };
        (0..self.chunks).map(move |chunk| (self.first_chunk + chunk, bytes(chunk)))
    }

    fn total_bytes(&self) -> u64 {
        self.each().map(|(_, bytes)| u64::from(bytes)).sum()
    }
}

impl Tile {
    /// K = 64 steps of one K block.
    pub fn steps_of(&self, block: u32) -> u32 {
        if block + 1 == self.k_blocks {
            self.last_steps
        } else {
            self.steps
        }
    }
}
