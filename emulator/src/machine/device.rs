//! The device: its memory, and launches on it.

use std::collections::HashMap;

use super::fault::{FaultKind, Stop};
use super::global::GlobalMemory;
use super::launch::{Grid, Launch, Report};
use super::module::Module;
use super::schedule::Schedule;

/// What kind of device to emulate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceConfig {
    /// Multiprocessors: the CTAs that are resident together when clusters wait for each other.
    pub sm_count: u32,
    /// Instructions after which a cluster is taken to be in an endless loop.
    pub instruction_limit: u64,
    /// What is checked beyond what an instruction needs to execute.
    pub checks: Checks,
}

/// How much is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checks {
    /// Races between accesses, missing fences and waits: every fault that the crate knows.
    #[default]
    All,
    /// The same, and rules of the ISA that compilers in daily use leave out without harm: both `tcgen05.fence`s between
    /// tensor operations of different threads, `fence.mbarrier_init` before the first copy or commit that signals a
    /// barrier, and `tcgen05.wait::ld` before the results are used.
    Strict,
    /// Only what an instruction needs in order to execute: faster, for kernels that have been checked.
    None,
}

impl Default for DeviceConfig {
    fn default() -> Self {
        DeviceConfig {
            sm_count: 148,
            instruction_limit: 1 << 34,
            checks: Checks::All,
        }
    }
}

/// An emulated device with its global memory.
#[derive(Default)]
pub struct Device {
    config: DeviceConfig,
    global: GlobalMemory,
    /// Addresses of the global variables of each module, by its identity.
    modules: HashMap<u64, Vec<u64>>,
}

impl Device {
    /// A device without any allocation.
    pub fn new(config: DeviceConfig) -> Self {
        Device {
            config,
            ..Device::default()
        }
    }

    /// Allocates `bytes` of poisoned global memory, surrounded by unmapped space, and returns its address: a multiple
    /// of 512 plus `alignment_offset`. The name appears in out-of-bounds faults.
    pub fn allocate(&mut self, name: &str, bytes: usize, alignment_offset: u64) -> u64 {
        self.global.allocate(name, bytes as u64, alignment_offset)
    }

    /// Frees what [`Device::allocate`] returned.
    pub fn free(&mut self, address: u64) -> Result<(), Stop> {
        self.global
            .free(address)
            .ok_or_else(|| Stop::Usage(format!("{address:#x} is not the start of an allocation")))
    }

    /// Copies bytes to the device.
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Stop> {
        self.global.write(address, bytes).map_err(usage)
    }

    /// Copies bytes from the device.
    pub fn read(&self, address: u64, len: usize) -> Result<Vec<u8>, Stop> {
        let mut out = vec![0; len];
        self.global.read(address, &mut out).map_err(usage)?;
        Ok(out)
    }

    /// Runs an entry of a module to its end under a schedule. Deterministic: equal input gives equal results and
    /// reports, whatever the number of host threads.
    pub fn launch(
        &mut self,
        module: &Module,
        launch: &Launch,
        schedule: Schedule,
    ) -> Result<Report, Stop> {
        self.instantiate(module).map_err(usage)?;
        let entry = module.entries.iter().find(|e| e.name == launch.entry);
        let entry = entry.ok_or_else(|| {
            Stop::Usage(format!("{} has no entry `{}`", module.name, launch.entry))
        })?;
        let globals = &self.modules[&module.id];
        let grid = Grid::new(module, entry, launch, &self.global, globals, &self.config)
            .map_err(Stop::Usage)?;
        grid.run(schedule)
    }

    /// Gives the module's global variables addresses and their initial values, once.
    fn instantiate(&mut self, module: &Module) -> Result<(), FaultKind> {
        if self.modules.contains_key(&module.id) {
            return Ok(());
        }
        let mut addresses = Vec::new();
        for variable in &module.globals {
            let address = self
                .global
                .allocate(&variable.name, variable.bytes.len() as u64, 0);
            self.global.write(address, &variable.bytes)?;
            addresses.push(address);
        }
        self.modules.insert(module.id, addresses);
        Ok(())
    }
}

fn usage(kind: FaultKind) -> Stop {
    Stop::Usage(kind.to_string())
}
