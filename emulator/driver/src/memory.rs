//! Device allocations and pinned host memory.

use std::alloc::Layout;
use std::collections::BTreeMap;

use crate::context::{self, Context};
use crate::driver::{Driver, driver, lock};
use crate::error::{Error, Outcome};
use crate::live::Kind;
use crate::pointer::{Handle, Host};

/// Every allocation of a process.
#[derive(Default)]
pub(crate) struct Memory {
    device: BTreeMap<u64, Allocation>,
    host: BTreeMap<usize, Pinned>,
    used: u64,
    next_id: u64,
}

/// A device allocation.
#[derive(Clone, Copy)]
pub(crate) struct Allocation {
    pub base: u64,
    pub size: u64,
    pub context: Handle<Context>,
    pub owner: Owner,
    pub id: u64,
    /// `cuMemFreeAsync` has been called and has not run yet.
    freed: bool,
}

/// Who frees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    Caller,
    /// The caller, and it came from a pool.
    Pool(usize),
    /// The module whose variable it is.
    Module,
}

/// Pinned host memory.
pub(crate) struct Pinned {
    pub size: usize,
    pub flags: u32,
    pub context: Handle<Context>,
    /// The driver's own memory; `None` when the caller registered theirs.
    block: Option<Block>,
}

/// Page-aligned host memory.
struct Block {
    host: Host,
    layout: Layout,
}

impl Block {
    fn new(size: usize) -> Result<Self, Error> {
        let layout = Layout::from_size_align(size, 4096).map_err(|_| Error::INVALID_VALUE)?;
        // SAFETY: the size is not zero (the only caller checks it).
        let memory = unsafe { std::alloc::alloc_zeroed(layout) };
        if memory.is_null() {
            return Err(Error::OUT_OF_MEMORY);
        }
        Ok(Block {
            host: Host::from_address(memory as usize),
            layout,
        })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, and freed only here.
        unsafe { std::alloc::dealloc(self.host.address() as *mut u8, self.layout) };
    }
}

impl Memory {
    fn containing(&self, address: u64) -> Option<&Allocation> {
        let (_, allocation) = self.device.range(..=address).next_back()?;
        (address - allocation.base < allocation.size && !allocation.freed).then_some(allocation)
    }

    fn pinned(&self, host: Host) -> Option<(usize, &Pinned)> {
        let (base, pinned) = self.host.range(..=host.address()).next_back()?;
        (host.address() - base < pinned.size).then_some((*base, pinned))
    }
}

/// Allocates device memory.
pub(crate) fn allocate(context: Handle<Context>, size: u64, owner: Owner) -> Result<u64, Error> {
    let driver = driver()?;
    let mut memory = lock(&driver.memory);
    if size == 0 {
        return Err(Error::INVALID_VALUE);
    }
    if size > driver.config.memory.saturating_sub(memory.used) {
        return Err(Error::OUT_OF_MEMORY);
    }
    let base = driver
        .machine
        .allocate("device memory", size)
        .ok_or(Error::OUT_OF_MEMORY)?;
    adopt_locked(&mut memory, base, size, context, owner);
    Ok(base)
}

/// Makes memory known that the machine has allocated by itself, for the variables of a module.
pub(crate) fn adopt(context: Handle<Context>, base: u64, size: u64) -> Outcome {
    let mut memory = lock(&driver()?.memory);
    adopt_locked(&mut memory, base, size, context, Owner::Module);
    Ok(())
}

fn adopt_locked(memory: &mut Memory, base: u64, size: u64, context: Handle<Context>, owner: Owner) {
    memory.next_id += 1;
    memory.used += size;
    let id = memory.next_id;
    let allocation = Allocation {
        base,
        size,
        context,
        owner,
        id,
        freed: false,
    };
    memory.device.insert(base, allocation);
    if owner != Owner::Module {
        Kind::Allocations.add();
        Kind::AllocatedBytes.add_many(size);
    }
}

/// The allocation around an address.
pub(crate) fn find(address: u64) -> Result<Allocation, Error> {
    let memory = lock(&driver()?.memory);
    memory
        .containing(address)
        .copied()
        .ok_or(Error::INVALID_VALUE)
}

pub(crate) fn is_device(address: u64) -> Result<bool, Error> {
    Ok(find(address).is_ok())
}

/// Whether `size` bytes from `address` on lie in one allocation.
pub(crate) fn check(address: u64, size: u64) -> Outcome {
    let allocation = find(address)?;
    if size > allocation.size - (address - allocation.base) {
        return Err(Error::INVALID_VALUE);
    }
    Ok(())
}

/// Marks an allocation as being freed; only its first address will do.
pub(crate) fn retire(address: u64) -> Outcome {
    let mut memory = lock(&driver()?.memory);
    match memory.device.get_mut(&address) {
        Some(allocation) if !allocation.freed && allocation.owner != Owner::Module => {
            allocation.freed = true;
            Ok(())
        }
        _ => Err(Error::INVALID_VALUE),
    }
}

/// Gives a retired allocation, or one of a module, back to the machine.
pub(crate) fn release(address: u64) {
    let Ok(driver) = driver() else { return };
    let mut memory = lock(&driver.memory);
    if let Some(allocation) = memory.device.remove(&address) {
        memory.used -= allocation.size;
        if allocation.owner != Owner::Module {
            Kind::Allocations.remove();
            Kind::AllocatedBytes.remove_many(allocation.size);
        }
        driver.machine.free(address);
    }
}

/// Free and total bytes.
pub(crate) fn info() -> Result<(u64, u64), Error> {
    let driver = driver()?;
    let used = lock(&driver.memory).used;
    Ok((
        driver.config.memory.saturating_sub(used),
        driver.config.memory,
    ))
}

/// Bytes in use by allocations of a pool.
pub(crate) fn used_by_pool(pool: usize) -> Result<u64, Error> {
    let memory = lock(&driver()?.memory);
    let of_pool = memory
        .device
        .values()
        .filter(|a| a.owner == Owner::Pool(pool));
    Ok(of_pool.map(|a| a.size).sum())
}

/// Allocates pinned host memory.
pub(crate) fn allocate_host(size: usize, flags: u32) -> Result<Host, Error> {
    let context = context::current()?.handle;
    if size == 0 || flags & !7 != 0 {
        return Err(Error::INVALID_VALUE);
    }
    let block = Block::new(size)?;
    let host = block.host;
    let pinned = Pinned {
        size,
        flags,
        context,
        block: Some(block),
    };
    lock(&driver()?.memory).host.insert(host.address(), pinned);
    Kind::HostAllocations.add();
    Ok(host)
}

/// Pins a caller's memory.
pub(crate) fn register_host(host: Host, size: usize, flags: u32) -> Outcome {
    let context = context::current()?.handle;
    let mut memory = lock(&driver()?.memory);
    if host.is_null() || size == 0 || flags & !0xF != 0 {
        return Err(Error::INVALID_VALUE);
    }
    let start = host.address();
    let end = start.checked_add(size).ok_or(Error::INVALID_VALUE)?;
    let overlaps = |(base, pinned): (&usize, &Pinned)| base + pinned.size > start;
    if memory.host.range(..end).next_back().is_some_and(overlaps) {
        return Err(Error::HOST_MEMORY_ALREADY_REGISTERED);
    }
    memory.host.insert(
        start,
        Pinned {
            size,
            flags,
            context,
            block: None,
        },
    );
    Kind::HostAllocations.add();
    Ok(())
}

/// Frees (`owned`) or unpins host memory; only its first address will do.
pub(crate) fn release_host(host: Host, owned: bool) -> Outcome {
    let mut memory = lock(&driver()?.memory);
    let known = memory.host.get(&host.address()).map(|p| p.block.is_some());
    match known {
        Some(is_owned) if is_owned == owned => {
            memory.host.remove(&host.address());
            Kind::HostAllocations.remove();
            Ok(())
        }
        _ if owned => Err(Error::INVALID_VALUE),
        _ => Err(Error::HOST_MEMORY_NOT_REGISTERED),
    }
}

pub(crate) fn is_pinned(host: Host) -> Result<bool, Error> {
    Ok(lock(&driver()?.memory).pinned(host).is_some())
}

/// First address, size, flags and context of the pinned memory around an address.
pub(crate) fn find_host(host: Host) -> Result<(usize, usize, u32, Handle<Context>), Error> {
    let memory = lock(&driver()?.memory);
    let (base, pinned) = memory.pinned(host).ok_or(Error::INVALID_VALUE)?;
    Ok((base, pinned.size, pinned.flags, pinned.context))
}

/// Frees what belongs to a context; returns how much of it the caller had allocated.
pub(crate) fn forget_context(driver: &Driver, context: Handle<Context>) -> usize {
    let mut memory = lock(&driver.memory);
    let hosts = memory.host.len();
    memory.host.retain(|_, pinned| pinned.context != context);
    let hosts = hosts - memory.host.len();
    Kind::HostAllocations.remove_many(hosts as u64);
    let owned: Vec<Allocation> = (memory.device.values())
        .filter(|a| a.context == context && a.owner != Owner::Module)
        .copied()
        .collect();
    drop(memory);
    owned.iter().for_each(|a| release(a.base));
    hosts + owned.len()
}
