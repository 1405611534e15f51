//! One worker on its way through its tiles: ring, tensor core, accumulators, epilogue.

use super::machine::Machine;
use super::memory::Memory;
use super::mma::step_us;
use super::price::Parts;
use super::timeline::{Activity, Lane};
use super::workload::{Early, Kernel, Operand, Reduction, Tile, Worker};

/// The machine's constants in microseconds, for one kind of kernel.
pub(super) struct Rates {
    pub fill_us_per_byte: f64,
    machine: Machine,
    barrier: f64,
    copy_issue: f64,
    commit: f64,
    slice: f64,
    column: f64,
    read_column: f64,
    first_load: f64,
    /// Start to the first load, and start to the first MMA.
    pub until_load: f64,
    until_mma: f64,
    /// Last store to the exit.
    exit: f64,
}

impl Rates {
    pub fn new(machine: &Machine, kernel: &Kernel) -> Self {
        let us = |c: super::machine::Constant| machine.cycles(c.value);
        let pair = kernel.sms == 2;
        let cluster = if pair {
            us(machine.cluster_barrier_cycles)
        } else {
            0.0
        };
        let set_up = us(machine.setup_cycles) + cluster;
        let allocated = set_up + us(machine.allocation_cycles);
        let hidden = if kernel.prefetch_maps {
            us(machine.setup_cycles)
        } else {
            0.0
        };
        let commit = if pair {
            machine.pair_commit_cycles
        } else {
            machine.commit_cycles
        };
        let stores = match kernel.reduction {
            Reduction::Atomics => 2.0,
            _ => 1.0,
        };
        Rates {
            fill_us_per_byte: 1e-3 / machine.sm_fill_gb_s.value,
            machine: machine.clone(),
            barrier: us(machine.barrier_cycles),
            copy_issue: us(machine.copy_issue_cycles),
            commit: us(commit),
            slice: us(machine.slice_cycles),
            column: us(machine.column_cycles) * stores,
            read_column: us(machine.read_column_cycles),
            first_load: (machine.first_load_us.value - hidden).max(0.0),
            until_load: if kernel.allocate_first {
                allocated
            } else {
                set_up
            },
            until_mma: allocated,
            exit: cluster,
        }
    }
}

/// State of a worker. Times in microseconds.
pub(super) struct Track<'a> {
    pub lane: Lane,
    /// When it exits; its stores may still be on their way.
    pub end: f64,
    /// Bytes that came into each SM.
    pub filled: u64,
    kernel: &'a Kernel,
    tiles: &'a [Tile],
    tile: usize,
    k_block: u32,
    /// K blocks issued so far.
    issued: u32,
    step_us: f64,
    load_warp: f64,
    first_issue: f64,
    first_full: f64,
    dependency: f64,
    port: f64,
    token_port: f64,
    tensor: f64,
    epilogue: f64,
    stage_free: Vec<f64>,
    /// K blocks that are loaded before the load warp waits for anything.
    first_ring: u32,
    accumulator_free: Vec<f64>,
    pub multiplied: f64,
    waited_loads: f64,
    waited_accumulator: f64,
    /// A share of a split sum that waits for the others: sum, columns.
    share: Option<(u32, u32)>,
}

impl<'a> Track<'a> {
    pub fn new(
        worker: &'a Worker,
        kernel: &'a Kernel,
        rates: &Rates,
        place: u32,
        start: f64,
        dependency: f64,
    ) -> Self {
        let mut lane = Lane {
            sm: place,
            span: (start, start),
            ..Lane::default()
        };
        let mut load_warp = start + rates.until_load;
        if !early_weights(kernel) {
            load_warp = load_warp.max(dependency);
        }
        lane.add(Activity::Prologue, start, load_warp);
        let stages = (kernel.stages + worker.extra_stages).max(1);
        let first_blocks = worker.tiles.first().map_or(0, |t| t.k_blocks);
        Track {
            lane,
            end: load_warp,
            filled: 0,
            kernel,
            tiles: &worker.tiles,
            tile: 0,
            k_block: 0,
            issued: 0,
            step_us: worker
                .tiles
                .first()
                .map_or(0.0, |t| step_us(t, &rates.machine)),
            load_warp,
            first_issue: load_warp,
            first_full: f64::INFINITY,
            dependency,
            port: 0.0,
            token_port: 0.0,
            tensor: start + rates.until_mma,
            epilogue: 0.0,
            stage_free: vec![load_warp; stages as usize],
            first_ring: stages.min(first_blocks),
            accumulator_free: vec![0.0; kernel.accumulators.max(1) as usize],
            multiplied: 0.0,
            waited_loads: 0.0,
            waited_accumulator: 0.0,
            share: None,
        }
    }

    pub fn is_done(&self) -> bool {
        self.tile >= self.tiles.len()
    }

    fn stage(&self) -> usize {
        self.issued as usize % self.stage_free.len()
    }

    /// When the load warp gets to its next stage.
    pub fn next_issue(&self) -> Option<f64> {
        (!self.is_done()).then(|| self.load_warp.max(self.stage_free[self.stage()]))
    }

    /// One K block from its loads to the release of its stage; at the end of a tile, its epilogue as well. Returns the
    /// sum that the tile is a share of, and when the share is complete.
    pub fn block(&mut self, rates: &Rates, memory: &mut Memory) -> Option<(u32, f64)> {
        let tiles = self.tiles;
        let tile = &tiles[self.tile];
        let full = self.load(tile, rates, memory);
        let end = self.multiply(tile, full, rates);
        let stage = self.stage();
        self.stage_free[stage] = end + rates.commit;
        self.issued += 1;
        self.k_block += 1;
        if self.k_block < tile.k_blocks {
            return None;
        }
        let complete = end + rates.commit;
        memory.store(tile.store_bytes);
        let share = match (tile.sum, self.kernel.reduction) {
            (Some(sum), Reduction::Cluster(_)) => {
                self.share = Some((sum, tile.columns));
                Some((sum, complete))
            }
            _ => {
                self.store(tile, complete, rates);
                None
            }
        };
        self.k_block = 0;
        self.tile += 1;
        self.step_us = tiles
            .get(self.tile)
            .map_or(0.0, |t| step_us(t, &rates.machine));
        share
    }

    /// Issues the loads of a K block; returns when all of it is in shared memory.
    fn load(&mut self, tile: &Tile, rates: &Rates, memory: &mut Memory) -> f64 {
        let first_ring = self.issued < self.first_ring;
        let mut now = self.load_warp.max(self.stage_free[self.stage()]);
        if !(first_ring && self.kernel.unconditional_start) {
            now += rates.barrier;
        }
        let early = self.dependency > now;
        let (mut weights, mut tokens) = (0.0f64, 0.0f64);
        for stream in &tile.streams {
            let chunk = stream.first_chunk + self.k_block;
            let arrival = memory.load(now, chunk, stream.bytes_of(self.k_block, tile));
            match stream.operand {
                Operand::Weights => weights = weights.max(arrival),
                Operand::Tokens if early => {
                    tokens = tokens
                        .max(arrival)
                        .max(self.dependency + memory.dram_latency);
                }
                Operand::Tokens => tokens = tokens.max(arrival),
            }
        }
        if self.issued == 0 {
            weights += rates.first_load;
            // Early on, there is time to fetch the tokens' tensor map as well.
            tokens += if early { 0.0 } else { rates.first_load };
        }
        let full = self.fill(tile, weights, tokens, early, rates);
        self.load_warp = now + f64::from(tile.copies) * rates.copy_issue;
        // The load warp waits for the previous kernel once it has filled the ring with early weights.
        if self.issued + 1 == self.first_ring {
            self.load_warp = self.load_warp.max(self.dependency);
        }
        self.lane.add(Activity::Load, now, full);
        full
    }

    /// Takes the arriving bytes in, one K block after the other; tokens that wait for the previous kernel come in behind
    /// all early weights. Returns when the K block is complete.
    fn fill(&mut self, tile: &Tile, weights: f64, tokens: f64, early: bool, rates: &Rates) -> f64 {
        let share = f64::from(tile.steps_of(self.k_block)) / f64::from(tile.steps);
        let bytes = f64::from(tile.fill_bytes) * share;
        self.filled += bytes as u64;
        if !early {
            let arrival = weights.max(tokens).max(self.port).max(self.token_port);
            self.port = arrival + bytes * rates.fill_us_per_byte;
            return self.port;
        }
        let weight_streams = tile
            .streams
            .iter()
            .filter(|s| s.operand == Operand::Weights);
        let of_weights: u32 = weight_streams.map(|s| s.bytes_of(self.k_block, tile)).sum();
        let of_weights = f64::from(of_weights) / f64::from(self.kernel.sms);
        if self.issued == 0 {
            let ring = f64::from(self.first_ring);
            self.token_port = weights + ring * of_weights * rates.fill_us_per_byte;
        }
        self.port = weights.max(self.port) + of_weights * rates.fill_us_per_byte;
        let rest = (bytes - of_weights).max(0.0);
        self.token_port = tokens.max(self.token_port) + rest * rates.fill_us_per_byte;
        self.port.max(self.token_port)
    }

    /// The tensor core's work on a K block; returns when it is done.
    fn multiply(&mut self, tile: &Tile, full: f64, rates: &Rates) -> f64 {
        let accumulator = self.tile % self.accumulator_free.len();
        let loaded = full + rates.barrier;
        let mut start = loaded.max(self.tensor);
        if self.issued == 0 {
            self.first_full = start;
        } else {
            self.waited_loads += start - self.tensor;
        }
        if self.k_block == 0 {
            let free = self.accumulator_free[accumulator];
            self.waited_accumulator += (free - start).max(0.0);
            start = start.max(free);
        }
        let duration = self.step_us * f64::from(tile.steps_of(self.k_block));
        self.multiplied += duration;
        self.tensor = start + duration;
        self.lane.add(Activity::Mma, start, self.tensor);
        self.tensor
    }

    /// The epilogue of a tile whose accumulator is complete.
    fn store(&mut self, tile: &Tile, complete: f64, rates: &Rates) {
        let start = (complete + rates.barrier).max(self.epilogue);
        let slices = tile.columns.div_ceil(self.kernel.slice.max(1));
        let duration = f64::from(slices) * rates.slice + f64::from(tile.columns) * rates.column;
        self.epilogue = start + duration;
        let accumulator = self.tile % self.accumulator_free.len();
        let read = self.kernel.release_after.map_or(duration, |columns| {
            rates.slice + f64::from(columns.min(tile.columns)) * rates.read_column
        });
        self.accumulator_free[accumulator] = start + read + rates.barrier;
        self.lane.add(Activity::Epilogue, start, self.epilogue);
        self.finish(rates);
    }

    fn finish(&mut self, rates: &Rates) {
        self.end = self.epilogue + rates.exit;
        self.lane.span.1 = self.end;
    }

    /// The epilogue of a share of a split sum, once all shares are complete: every CTA sends the others their parts of
    /// its share, adds what it receives, and stores one part.
    pub fn reduce(&mut self, rates: &Rates, machine: &Machine, shares: u32, sums: &[(u32, f64)]) {
        let Some((sum, columns)) = self.share.take() else {
            return;
        };
        let (_, complete) = sums[sum as usize];
        let (columns, shares) = (f64::from(columns), f64::from(shares));
        let sent = columns * 128.0 * 4.0 * (shares - 1.0) / shares;
        let exchange = machine.cluster_barrier_cycles.value
            + machine.cluster_latency_cycles.value
            + sent / machine.cluster_bytes_per_cycle.value;
        let slices = (columns / f64::from(self.kernel.slice.max(1))).ceil();
        let start = (complete + rates.barrier).max(self.epilogue);
        self.epilogue = start
            + machine.cycles(exchange)
            + slices * rates.slice
            + columns * rates.read_column
            + columns / shares * rates.column;
        self.lane.add(Activity::Epilogue, start, self.epilogue);
        self.finish(rates);
    }

    /// Where the time went, from the end of the previous launch to the end of this one.
    pub fn parts(&self, before: f64, drain: f64) -> Parts {
        Parts {
            launch_us: self.lane.span.0 - before,
            prologue_us: self.first_issue - self.lane.span.0,
            first_load_us: self.first_full - self.first_issue,
            tensor_us: self.multiplied,
            load_wait_us: self.waited_loads,
            accumulator_wait_us: self.waited_accumulator,
            tail_us: self.end + drain - self.tensor,
        }
    }
}

/// Whether weights are loaded before the previous kernel has finished.
pub(super) fn early_weights(kernel: &Kernel) -> bool {
    kernel
        .programmatic
        .is_some_and(|p| p.early != Early::Nothing)
}
