//! The one driver of the process: environment, machine, memory, queue.

use std::sync::{Mutex, MutexGuard, OnceLock};

use crate::config::Config;
use crate::context::Primary;
use crate::error::Error;
use crate::inject;
use crate::machine::Machine;
use crate::memory::Memory;
use crate::memory_pool::Pools;
use crate::queue::Queue;

/// Everything that exists once.
pub(crate) struct Driver {
    pub config: Config,
    pub machine: Machine,
    pub memory: Mutex<Memory>,
    pub queue: Queue,
    pub primary: Mutex<Primary>,
    pub pools: Mutex<Pools>,
}

static ENVIRONMENT: OnceLock<Result<Config, String>> = OnceLock::new();
static DRIVER: OnceLock<Driver> = OnceLock::new();

/// The environment, read at the first call of any function.
pub(crate) fn environment() -> &'static Result<Config, String> {
    ENVIRONMENT.get_or_init(|| {
        let config = Config::from_env();
        let rules = config.as_ref().map_or("", |c| &c.fail);
        let config = match inject::arm(rules) {
            Ok(()) => config,
            Err(message) => {
                let _ = inject::arm("");
                Err(format!("PTXEMU_FAIL: {message}"))
            }
        };
        match &config {
            Ok(config) => inject::set_traced(config.trace),
            Err(message) => eprintln!("ptxemu: {message}"),
        }
        config
    })
}

/// `cuInit`.
pub(crate) fn initialise() -> Result<(), Error> {
    let config = environment().as_ref().map_err(|_| Error::INVALID_VALUE)?;
    if config.devices == 0 {
        return Err(Error::NO_DEVICE);
    }
    DRIVER.get_or_init(|| Driver {
        config: config.clone(),
        machine: Machine::new(config),
        memory: Mutex::new(Memory::default()),
        queue: Queue::new(config.streams),
        primary: Mutex::new(Primary::default()),
        pools: Mutex::new(Pools::default()),
    });
    Ok(())
}

/// The driver, if `cuInit` has been called.
#[inline]
pub(crate) fn driver() -> Result<&'static Driver, Error> {
    DRIVER.get().ok_or(Error::NOT_INITIALIZED)
}

/// A lock whose data stays usable after a panic elsewhere: every holder leaves it consistent.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}
