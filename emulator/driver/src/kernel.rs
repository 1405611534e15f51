//! Functions: an entry of a module with its attributes. A `CUkernel` of a library is the same thing.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::attributes::Limits;
use crate::context::Context;
use crate::driver::driver;
use crate::error::{Error, Outcome};
use crate::machine::{Entry, Instance};
use crate::module::Module;
use crate::object::object;
use crate::pointer::Handle;

/// A function.
pub(crate) struct Function {
    handle: Handle<Function>,
    pub module: Handle<Module>,
    /// `None` if it may be launched in any context.
    pub context: Option<Handle<Context>>,
    pub instance: Arc<Instance>,
    pub index: usize,
    max_dynamic_shared: AtomicI32,
    carveout: AtomicI32,
    non_portable_cluster: AtomicI32,
    scheduling_policy: AtomicI32,
}

object!(Function, Functions, INVALID_HANDLE);

impl Function {
    pub(crate) fn new(
        handle: Handle<Function>,
        module: Handle<Module>,
        context: Option<Handle<Context>>,
        instance: Arc<Instance>,
        index: usize,
    ) -> Self {
        let statically = instance.code.entries[index].shared as i32;
        Function {
            handle,
            module,
            context,
            instance,
            index,
            max_dynamic_shared: AtomicI32::new((Limits::SHARED_DEFAULT - statically).max(0)),
            carveout: AtomicI32::new(-1),
            non_portable_cluster: AtomicI32::new(0),
            scheduling_policy: AtomicI32::new(0),
        }
    }

    /// Its handle: that which its module knows it by.
    pub(crate) fn handle(&self) -> Handle<Function> {
        self.handle
    }

    #[inline]
    pub(crate) fn entry(&self) -> &Entry {
        &self.instance.code.entries[self.index]
    }

    /// Dynamic shared memory that a launch may ask for.
    #[inline]
    pub(crate) fn max_dynamic_shared(&self) -> u32 {
        self.max_dynamic_shared.load(Ordering::Relaxed) as u32
    }

    #[inline]
    pub(crate) fn allows_large_clusters(&self) -> bool {
        self.non_portable_cluster.load(Ordering::Relaxed) != 0
    }

    /// Threads that a block may have.
    #[inline]
    pub(crate) fn max_threads(&self) -> u32 {
        let entry = self.entry();
        let by_registers = Limits::REGISTERS as u32 / entry.registers.max(1) / 32 * 32;
        entry
            .max_threads
            .unwrap_or(1024)
            .min(by_registers.min(1024))
    }

    /// `cuFuncGetAttribute`.
    pub(crate) fn attribute(&self, attribute: u32) -> Result<i32, Error> {
        let entry = self.entry();
        let cluster = entry.cluster.unwrap_or([0; 3]);
        let config = &driver()?.config;
        Ok(match attribute {
            0 => self.max_threads() as i32,
            1 => entry.shared as i32,
            3 => entry.local as i32,
            4 => entry.registers as i32,
            5 => (self.instance.code.version.0 * 10 + self.instance.code.version.1) as i32,
            6 => config.capability.0 * 10 + config.capability.1,
            2 | 7 => 0,
            8 => self.max_dynamic_shared() as i32,
            9 => self.carveout.load(Ordering::Relaxed),
            10 => i32::from(entry.needs_cluster),
            11..=13 => cluster[attribute as usize - 11] as i32,
            14 => self.non_portable_cluster.load(Ordering::Relaxed),
            15 => self.scheduling_policy.load(Ordering::Relaxed),
            16 => 0,
            _ => return Err(Error::INVALID_VALUE),
        })
    }

    /// `cuFuncSetAttribute`.
    pub(crate) fn set_attribute(&self, attribute: u32, value: i32) -> Outcome {
        let (slot, range) = match attribute {
            8 => {
                let most = Limits::of(&driver()?.config).shared_optin - self.entry().shared as i32;
                (&self.max_dynamic_shared, 0..=most)
            }
            9 => (&self.carveout, -1..=100),
            14 => (&self.non_portable_cluster, 0..=1),
            15 => (&self.scheduling_policy, 0..=2),
            _ => return Err(Error::INVALID_VALUE),
        };
        if !range.contains(&value) {
            return Err(Error::INVALID_VALUE);
        }
        slot.store(value, Ordering::Relaxed);
        Ok(())
    }
}
