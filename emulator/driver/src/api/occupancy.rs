//! Occupancy.

use crate::error::{Error, Outcome};
use crate::kernel::Function;
use crate::launch::Shape;
use crate::occupancy;
use crate::pointer::{In, Out};
use crate::types::{CUfunction, LaunchConfig};

type SharedOfBlock = Option<extern "C" fn(i32) -> usize>;

fn best_block(
    grid: Out<i32>,
    block: Out<i32>,
    function: CUfunction,
    of: SharedOfBlock,
    shared: usize,
    limit: i32,
) -> Outcome {
    let function = function.get()?;
    let shared = |threads| of.map_or(shared, |of| of(threads));
    let (blocks, threads) = occupancy::best_block(&function, shared, limit)?;
    grid.set(blocks)?;
    block.set(threads)
}

fn shape(config: &LaunchConfig) -> Result<Shape, Error> {
    let mut shape = Shape {
        grid: config.grid,
        block: config.block,
        shared: config.shared,
        cluster: [0; 3],
        cooperative: false,
    };
    shape.apply(config.attributes, config.attribute_count)?;
    Ok(shape)
}

fn active_clusters(function: &Function, shape: &Shape) -> Result<i32, Error> {
    let size = shape.cluster_of(function.entry()).iter().product();
    let threads = shape.block.iter().product::<u32>();
    occupancy::clusters(function, threads as i32, shape.shared as usize, size)
}

abi! { SYMBOLS:
    fn cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks: Out<i32>, function: CUfunction, threads: i32, shared: usize) = "cuOccupancyMaxActiveBlocksPerMultiprocessor" since 6050 {
        blocks.set(occupancy::blocks_per_sm(&*function.get()?, threads, shared)?)
    }

    fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks: Out<i32>, function: CUfunction, threads: i32, shared: usize, flags: u32) = "cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags" since 7000 {
        if flags > 1 {
            return Err(Error::INVALID_VALUE);
        }
        blocks.set(occupancy::blocks_per_sm(&*function.get()?, threads, shared)?)
    }

    fn cuOccupancyMaxPotentialBlockSize(grid: Out<i32>, block: Out<i32>, function: CUfunction, of: SharedOfBlock, shared: usize, limit: i32) = "cuOccupancyMaxPotentialBlockSize" since 6050 {
        best_block(grid, block, function, of, shared, limit)
    }

    fn cuOccupancyMaxPotentialBlockSizeWithFlags(grid: Out<i32>, block: Out<i32>, function: CUfunction, of: SharedOfBlock, shared: usize, limit: i32, flags: u32) = "cuOccupancyMaxPotentialBlockSizeWithFlags" since 7000 {
        if flags > 1 {
            return Err(Error::INVALID_VALUE);
        }
        best_block(grid, block, function, of, shared, limit)
    }

    fn cuOccupancyAvailableDynamicSMemPerBlock(bytes: Out<usize>, function: CUfunction, blocks: i32, threads: i32) = "cuOccupancyAvailableDynamicSMemPerBlock" since 10020 {
        bytes.set(occupancy::shared_for(&*function.get()?, blocks, threads)?)
    }

    fn cuOccupancyMaxPotentialClusterSize(size: Out<i32>, function: CUfunction, config: In<LaunchConfig>) = "cuOccupancyMaxPotentialClusterSize" since 11070 {
        let function = function.get()?;
        let shape = shape(&config.get()?)?;
        let largest: u32 = if function.allows_large_clusters() { 16 } else { 8 };
        let fits = |n: &u32| shape.grid.iter().product::<u32>().is_multiple_of(*n);
        let sizes = [1, 2, 4, 8, 16].into_iter().filter(|n| *n <= largest && fits(n));
        size.set(sizes.max().unwrap_or(1) as i32)
    }

    fn cuOccupancyMaxActiveClusters(count: Out<i32>, function: CUfunction, config: In<LaunchConfig>) = "cuOccupancyMaxActiveClusters" since 11070 {
        let function = function.get()?;
        count.set(active_clusters(&function, &shape(&config.get()?)?)?)
    }
}
