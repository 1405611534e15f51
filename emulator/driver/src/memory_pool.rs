//! Memory pools. They only carry attributes: freed memory goes straight back to the machine.

use std::sync::Mutex;

use crate::driver::{driver, lock};
use crate::error::Error;
use crate::memory;
use crate::object::{self, object};
use crate::pointer::Handle;

/// A pool.
pub(crate) struct Pool {
    /// Reuse by events, opportunistic, internal; release threshold.
    pub settings: Mutex<[u64; 4]>,
    /// The device's own one, which cannot be destroyed.
    pub default: bool,
}

object!(Pool, MemoryPools, INVALID_VALUE);

impl Pool {
    pub(crate) fn new(default: bool) -> Self {
        Pool {
            settings: Mutex::new([1, 1, 1, 0]),
            default,
        }
    }
}

/// The device's default pool and the one in use.
#[derive(Default)]
pub(crate) struct Pools {
    default: Option<Handle<Pool>>,
    current: Option<Handle<Pool>>,
}

pub(crate) fn default_pool() -> Result<Handle<Pool>, Error> {
    let mut pools = lock(&driver()?.pools);
    let default = pools.default.get_or_insert_with(|| {
        let pool = object::add(Pool::new(true));
        crate::live::Kind::MemoryPools.remove();
        pool
    });
    Ok(*default)
}

pub(crate) fn current_pool() -> Result<Handle<Pool>, Error> {
    let current = lock(&driver()?.pools).current;
    match current.filter(|pool| pool.get().is_ok()) {
        Some(pool) => Ok(pool),
        None => default_pool(),
    }
}

pub(crate) fn set_current_pool(pool: Handle<Pool>) -> Result<(), Error> {
    pool.get()?;
    lock(&driver()?.pools).current = Some(pool);
    Ok(())
}

/// `CUmemPool_attribute` 1 to 8.
pub(crate) fn attribute(pool: Handle<Pool>, attribute: u32) -> Result<u64, Error> {
    let settings = *lock(&pool.get()?.settings);
    match attribute {
        1..=4 => Ok(settings[attribute as usize - 1]),
        5..=8 => memory::used_by_pool(pool.bits()),
        _ => Err(Error::INVALID_VALUE),
    }
}

pub(crate) fn set_attribute(pool: Handle<Pool>, attribute: u32, value: u64) -> Result<(), Error> {
    let pool = pool.get()?;
    match attribute {
        1..=4 => lock(&pool.settings)[attribute as usize - 1] = value,
        // The high-water marks may be reset; they follow the current use here.
        6 | 8 if value == 0 => {}
        _ => return Err(Error::INVALID_VALUE),
    }
    Ok(())
}
