//! The device: its memory, and launches on it.

use std::collections::HashMap;

use super::chain;
use super::fault::{FaultKind, Stop, Stopped};
use super::global::GlobalMemory;
use super::grid::Grid;
use super::launch::{Launch, Report};
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
    /// barrier, and `tcgen05.wait::ld` before the results are used. And data must not take the place of a barrier that
    /// nobody needed, or of a tensor map behind `tensormap.cp_fenceproxy`, without `mbarrier.inval` or a proxy fence.
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
        let reports = self.launch_sequence(&[(module, launch)], schedule);
        let mut reports = reports.map_err(|stopped| stopped.stop)?;
        Ok(reports.pop().unwrap_or_default())
    }

    /// Runs launches as one stream would. Each waits for the one before it to complete, except that a `programmatic`
    /// one may start as soon as every CTA of the one before it has executed `griddepcontrol.launch_dependents` or has
    /// exited, and runs beside it. `griddepcontrol.wait` then waits until the launch before is complete and everything
    /// it wrote is visible; without the attribute, or in the first launch, both instructions do nothing.
    ///
    /// Whatever a launch touches before it has waited, and a launch that may still be running touches as well, is
    /// [`FaultKind::LaunchDependency`] if one of the two writes: under every schedule, for accesses of threads and of
    /// asynchronous copies. A launch that never waits completes without regard to the one before it, so that the next
    /// one's wait says nothing about that one either.
    ///
    /// Launches without strong accesses to global memory touch nothing else in common, so they are executed one after
    /// the other and compared. The others are interleaved: eager starts a dependent launch as late as possible, lazy as
    /// early as possible, random at any time.
    pub fn launch_sequence<'a>(
        &mut self,
        launches: &[(&'a Module, &'a Launch)],
        schedule: Schedule,
    ) -> Result<Vec<Report>, Stopped> {
        for (index, (module, _)) in launches.iter().enumerate() {
            self.instantiate(module).map_err(|kind| Stopped {
                launch: index,
                stop: usage(kind),
            })?;
        }
        let grid = |(index, (module, launch)): (usize, &(&'a Module, &'a Launch))| {
            self.grid(module, launch).map_err(|what| Stopped {
                launch: index,
                stop: Stop::Usage(what),
            })
        };
        // All are checked before any runs.
        let grids = launches
            .iter()
            .enumerate()
            .map(grid)
            .collect::<Result<Vec<_>, _>>()?;
        let starts_chain = |i: &usize| *i == 0 || !launches[*i].1.programmatic;
        let mut starts: Vec<usize> = (0..launches.len()).filter(starts_chain).collect();
        starts.push(launches.len());
        let mut grids = grids.into_iter();
        let mut reports = Vec::with_capacity(launches.len());
        for bounds in starts.windows(2) {
            let mut chain: Vec<Grid> = grids.by_ref().take(bounds[1] - bounds[0]).collect();
            (chain.iter_mut().enumerate()).for_each(|(number, grid)| grid.launch = number);
            let done = chain::run(&chain, schedule);
            reports.extend(done.map_err(|stopped| stopped.behind(bounds[0]))?);
        }
        Ok(reports)
    }

    fn grid<'a>(&'a self, module: &'a Module, launch: &'a Launch) -> Result<Grid<'a>, String> {
        let entry = module.entries.iter().find(|e| e.name == launch.entry);
        let entry =
            entry.ok_or_else(|| format!("{} has no entry `{}`", module.name, launch.entry))?;
        let globals = &self.modules[&module.id];
        Grid::new(module, entry, launch, &self.global, globals, &self.config)
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
