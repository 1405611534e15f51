//! The emulator behind the driver: its memory, its modules, its launches, and what its faults mean to a CUDA caller.

use std::ffi::CString;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ptx_emulator::{
    Device, DeviceConfig, FaultKind, LoadError, LoadErrorKind, Module, Schedule, Stop, Stopped,
};

use crate::attributes::Limits;
use crate::config::{Config, Order};
use crate::error::{Error, Outcome};
use crate::image::Refusal;
use crate::launch::Launch;
use crate::outline::{self, Outline};

/// The emulated device.
pub(crate) struct Machine {
    device: RwLock<Device>,
    order: Order,
    /// Launches so far: under the random order each has its own seed.
    launches: AtomicU64,
    null: bool,
    driver_version: i32,
    report: Option<PathBuf>,
}

/// A compiled module.
pub(crate) struct Code {
    module: Module,
    /// In the order in which [`Instance`] finds their addresses.
    globals: Vec<outline::Variable>,
    constants: Vec<String>,
    pub version: (u32, u32),
    pub entries: Vec<Entry>,
}

/// What the driver needs to know of an entry.
pub(crate) struct Entry {
    pub name: String,
    /// The name as C has it.
    pub c_name: CString,
    pub params: Vec<Param>,
    /// Size of the parameter block.
    pub param_bytes: usize,
    /// Static shared memory.
    pub shared: u32,
    pub local: u32,
    /// Registers of a thread: what the entry declares, else a guess that never limits a launch.
    pub registers: u32,
    pub max_threads: Option<u32>,
    pub required_block: Option<[u32; 3]>,
    pub cluster: Option<[u32; 3]>,
    /// Whether a launch must give the cluster's size.
    pub needs_cluster: bool,
}

/// A parameter in the block.
pub(crate) struct Param {
    pub offset: usize,
    pub size: usize,
}

/// Code with its variables in memory.
pub(crate) struct Instance {
    pub code: Code,
    pub variables: Vec<Variable>,
}

/// A variable in global memory.
pub(crate) struct Variable {
    pub name: String,
    pub address: u64,
    pub size: u64,
}

/// The entry that [`Machine::compile`] appends to find out where variables are.
const LOCATOR: &str = "ptxemu_locate_variables";

const GUESSED_REGISTERS: u32 = 32;

impl Machine {
    pub(crate) fn new(config: &Config) -> Self {
        let sm_count = config.sm_count as u32;
        Machine {
            device: RwLock::new(Device::new(DeviceConfig {
                sm_count,
                ..DeviceConfig::default()
            })),
            order: config.schedule,
            launches: AtomicU64::new(0),
            null: config.null,
            driver_version: config.driver_version,
            report: config.report.clone(),
        }
    }

    fn device(&self) -> RwLockReadGuard<'_, Device> {
        self.device.read().unwrap_or_else(|e| e.into_inner())
    }

    fn device_mut(&self) -> RwLockWriteGuard<'_, Device> {
        self.device.write().unwrap_or_else(|e| e.into_inner())
    }

    pub(crate) fn allocate(&self, name: &str, size: u64) -> Option<u64> {
        Some(
            self.device_mut()
                .allocate(name, usize::try_from(size).ok()?, 0),
        )
    }

    pub(crate) fn free(&self, address: u64) {
        // The caller has just taken the address out of its own table.
        let _ = self.device_mut().free(address);
    }

    pub(crate) fn read(&self, address: u64, into: &mut [u8]) -> Outcome {
        let bytes = self
            .device()
            .read(address, into.len())
            .map_err(|_| Error::ILLEGAL_ADDRESS)?;
        into.copy_from_slice(&bytes);
        Ok(())
    }

    pub(crate) fn write(&self, address: u64, from: &[u8]) -> Outcome {
        self.device()
            .write(address, from)
            .map_err(|_| Error::ILLEGAL_ADDRESS)
    }

    /// Reads and decodes a PTX module.
    pub(crate) fn compile(&self, text: &str) -> Result<Code, Refusal> {
        let outline = Outline::read(text);
        let (globals, others): (Vec<_>, Vec<_>) = outline
            .variables
            .into_iter()
            .partition(|v| v.space == "global");
        let load = || Module::load("ptx", &with_locator(text, &globals));
        let loaded = catch_unwind(AssertUnwindSafe(load));
        let module = match loaded {
            Ok(module) => module.map_err(refusal)?,
            Err(_) => {
                return Err(Refusal::new(
                    Error::UNKNOWN,
                    "the emulator failed while reading the module",
                ));
            }
        };
        let entries: Vec<Entry> = (module.entries())
            .filter(|name| *name != LOCATOR)
            .map(|name| entry(&module, name, &outline.entries))
            .collect();
        self.check_params(&entries, outline.version)?;
        let constants = others
            .into_iter()
            .filter(|v| v.space == "const")
            .map(|v| v.name)
            .collect();
        Ok(Code {
            module,
            globals,
            constants,
            version: outline.version,
            entries,
        })
    }

    /// Whether all parameter blocks are as small as this driver needs them.
    fn check_params(&self, entries: &[Entry], version: (u32, u32)) -> Result<(), Refusal> {
        let large = self.driver_version >= 12010 && version >= (8, 1);
        let most = if large {
            Limits::PARAMETERS
        } else {
            Limits::PARAMETERS_BEFORE
        };
        match entries.iter().find(|entry| entry.param_bytes > most) {
            None => Ok(()),
            Some(entry) => {
                let Entry {
                    name, param_bytes, ..
                } = entry;
                let log = format!(
                    "entry {name} takes {param_bytes} bytes of parameters, {most} are possible"
                );
                Err(Refusal::new(Error::INVALID_PTX, log))
            }
        }
    }

    /// Places a module's variables.
    pub(crate) fn instantiate(&self, code: Code) -> Result<Instance, Error> {
        let mut variables = Vec::new();
        if !code.globals.is_empty() {
            let addresses = self.locate(&code)?;
            let placed = code.globals.iter().zip(addresses);
            variables.extend(placed.map(|(v, address)| Variable {
                name: v.name.clone(),
                address,
                size: v.bytes,
            }));
        }
        Ok(Instance { code, variables })
    }

    /// Addresses of the variables, found by running the entry that stores them.
    fn locate(&self, code: &Code) -> Result<Vec<u64>, Error> {
        let mut device = self.device_mut();
        let table = device.allocate(LOCATOR, code.globals.len() * 8, 0);
        let launch = ptx_emulator::Launch {
            entry: LOCATOR.into(),
            grid: [1; 3],
            block: [1; 3],
            cluster: [1; 3],
            dynamic_shared: 0,
            params: table.to_le_bytes().to_vec(),
            programmatic: false,
        };
        let ran = device.launch(&code.module, &launch, Schedule::Eager);
        let found = ran.and_then(|_| device.read(table, code.globals.len() * 8));
        let _ = device.free(table);
        let bytes = found.map_err(|_| Error::UNKNOWN)?;
        Ok(bytes
            .chunks_exact(8)
            .map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()))
            .collect())
    }

    /// Runs checked launches to their end. All but the first may start early.
    pub(crate) fn launch(&self, launches: &[Arc<Launch>]) -> Outcome {
        if self.null {
            return Ok(());
        }
        let requests: Vec<_> = launches.iter().map(|launch| request(launch)).collect();
        let modules = (launches.iter()).map(|launch| &launch.function.instance.code.module);
        let sequence: Vec<_> = modules.zip(&requests).collect();
        let schedule = self.schedule();
        let run = || self.device_mut().launch_sequence(&sequence, schedule);
        let names = || {
            requests
                .iter()
                .map(|r| r.entry.as_str())
                .collect::<Vec<_>>()
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(Stopped { launch, stop })) => {
                let entry = &requests[launch].entry;
                self.report(&format!("{entry} under {schedule:?}: {stop}"));
                Err(meaning(&stop))
            }
            Err(_) => {
                self.report(&format!(
                    "{}: the emulator itself failed",
                    names().join(", ")
                ));
                Err(Error::UNKNOWN)
            }
        }
    }

    fn schedule(&self) -> Schedule {
        match self.order {
            Order::Eager => Schedule::Eager,
            Order::Lazy => Schedule::Lazy,
            Order::Random(seed) => {
                Schedule::Random(seed.wrapping_add(self.launches.fetch_add(1, Ordering::Relaxed)))
            }
        }
    }

    /// Tells the user something that no result code can.
    pub(crate) fn report(&self, text: &str) {
        let written = self.report.as_ref().and_then(|path| {
            let mut file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .ok()?;
            writeln!(file, "ptxemu: {text}").ok()
        });
        if written.is_none() {
            eprintln!("ptxemu: {text}");
        }
    }
}

impl Code {
    /// Whether a name is that of a variable in constant memory.
    pub(crate) fn is_constant(&self, name: &str) -> bool {
        self.constants.iter().any(|constant| constant == name)
    }

    /// Number of variables.
    pub(crate) fn variable_count(&self) -> usize {
        self.globals.len() + self.constants.len()
    }
}

fn request(launch: &Launch) -> ptx_emulator::Launch {
    let entry = launch.function.entry();
    ptx_emulator::Launch {
        entry: entry.name.clone(),
        grid: launch.shape.grid,
        block: launch.shape.block,
        cluster: launch.shape.cluster_of(entry),
        dynamic_shared: launch.shape.shared,
        params: launch.params.bytes.to_vec(),
        programmatic: launch.extras.programmatic,
    }
}

/// The text, followed by an entry that stores the addresses of the given variables. Lines keep their numbers.
fn with_locator(text: &str, globals: &[outline::Variable]) -> String {
    if globals.is_empty() {
        return text.into();
    }
    let store = |(i, v): (usize, &outline::Variable)| {
        format!(
            "mov.u64 %ptxemu1, {}; st.global.u64 [%ptxemu0+{}], %ptxemu1; ",
            v.name,
            i * 8
        )
    };
    let stores: String = globals.iter().enumerate().map(store).collect();
    format!(
        "{text}\n.entry {LOCATOR}(.param .u64 table) {{ .reg .b64 %ptxemu<2>; ld.param.u64 %ptxemu0, [table]; {stores}ret; }}\n"
    )
}

fn entry(module: &Module, name: &str, outlines: &[outline::Entry]) -> Entry {
    let none = outline::Entry::default();
    let outline = outlines.iter().find(|e| e.name == name).unwrap_or(&none);
    let params: Vec<Param> = (module.params(name).unwrap_or_default().iter())
        .map(|p| Param {
            offset: p.offset as usize,
            size: p.bytes as usize,
        })
        .collect();
    let required_threads = outline.required_block.map(|block| block.iter().product());
    Entry {
        name: name.into(),
        c_name: CString::new(name).unwrap_or_default(),
        param_bytes: params.last().map_or(0, |p| p.offset + p.size),
        params,
        shared: outline.shared as u32,
        local: outline.local as u32,
        registers: outline.max_registers.unwrap_or(GUESSED_REGISTERS),
        max_threads: outline.max_threads.or(required_threads),
        required_block: outline.required_block,
        cluster: outline.cluster,
        needs_cluster: outline.explicit_cluster && outline.cluster.is_none(),
    }
}

fn refusal(error: LoadError) -> Refusal {
    let code = match error.kind {
        LoadErrorKind::Unsupported => Error::NOT_SUPPORTED,
        _ => Error::INVALID_PTX,
    };
    Refusal::new(code, error.to_string())
}

/// What a stopped kernel looks like to its caller (CUDA driver API, `CUresult`).
fn meaning(stop: &Stop) -> Error {
    let fault = match stop {
        Stop::Fault(fault) => fault,
        Stop::Unsupported(_) => return Error::NOT_SUPPORTED,
        Stop::Usage(_) => return Error::LAUNCH_FAILED,
    };
    match fault.kind {
        FaultKind::OutOfBounds { .. } => Error::ILLEGAL_ADDRESS,
        FaultKind::Misaligned { .. } => Error::MISALIGNED_ADDRESS,
        FaultKind::Operand(_) | FaultKind::Illegal(..) => Error::ILLEGAL_INSTRUCTION,
        FaultKind::Deadlock(_) | FaultKind::InstructionLimit(_) => Error::LAUNCH_TIMEOUT,
        FaultKind::TensorMemoryLeak(_) => Error::TENSOR_MEMORY_LEAK,
        _ => Error::LAUNCH_FAILED,
    }
}
