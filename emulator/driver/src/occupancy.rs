//! Occupancy: how many blocks fit on the emulated device by threads, shared memory and registers.

use crate::attributes::Limits;
use crate::config::Config;
use crate::driver::driver;
use crate::error::Error;
use crate::kernel::Function;

/// Blocks of one SM.
pub(crate) fn blocks_per_sm(
    function: &Function,
    threads: i32,
    dynamic_shared: usize,
) -> Result<i32, Error> {
    let config = &driver()?.config;
    if threads <= 0 {
        return Err(Error::INVALID_VALUE);
    }
    Ok(fitting(config, function, threads, dynamic_shared))
}

fn fitting(config: &Config, function: &Function, threads: i32, dynamic_shared: usize) -> i32 {
    let limits = Limits::of(config);
    let shared = function.entry().shared as usize + dynamic_shared;
    if threads > function.max_threads() as i32 || shared > limits.shared_optin as usize {
        return 0;
    }
    let warps = (threads + 31) / 32;
    let by_threads = limits.threads_per_sm / (warps * 32);
    let by_shared = limits.shared_per_sm / (shared as i32 + Limits::SHARED_RESERVED);
    let by_registers = Limits::REGISTERS / (function.entry().registers.max(1) as i32 * warps * 32);
    by_threads
        .min(by_shared)
        .min(by_registers)
        .min(limits.blocks_per_sm)
}

/// Grid and block size that fill the device. `shared` gives the dynamic shared memory of a block size.
pub(crate) fn best_block(
    function: &Function,
    shared: impl Fn(i32) -> usize,
    limit: i32,
) -> Result<(i32, i32), Error> {
    let config = &driver()?.config;
    let most = match limit {
        0 => function.max_threads() as i32,
        limit => limit.min(function.max_threads() as i32),
    };
    let sizes = (1..=most / 32).rev().map(|warps| warps * 32);
    let (blocks, threads) = sizes
        .map(|threads| (fitting(config, function, threads, shared(threads)), threads))
        .max_by_key(|(blocks, threads)| (blocks * threads, *threads))
        .filter(|(blocks, _)| *blocks > 0)
        .ok_or(Error::INVALID_VALUE)?;
    Ok((blocks * config.sm_count, threads))
}

/// Clusters of `size` blocks that run at the same time on the whole device.
pub(crate) fn clusters(
    function: &Function,
    threads: i32,
    shared: usize,
    size: u32,
) -> Result<i32, Error> {
    let blocks = blocks_per_sm(function, threads, shared)? * driver()?.config.sm_count;
    Ok(blocks / size.max(1) as i32)
}

/// The most dynamic shared memory with which `blocks` blocks fit on one SM.
pub(crate) fn shared_for(function: &Function, blocks: i32, threads: i32) -> Result<usize, Error> {
    let limits = Limits::of(&driver()?.config);
    if blocks <= 0 || fitting(&driver()?.config, function, threads, 0) < blocks {
        return Err(Error::INVALID_VALUE);
    }
    let each = (limits.shared_per_sm / blocks - Limits::SHARED_RESERVED).min(limits.shared_optin);
    Ok((each - function.entry().shared as i32).max(0) as usize)
}
