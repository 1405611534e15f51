//! The emulator behind the driver: its memory, its modules, its launches, and what its faults mean to a CUDA caller.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;

use crate::config::Config;
use crate::driver::lock;
use crate::error::{Error, Outcome};
use crate::image::Refusal;
use crate::launch::Launch;

/// The emulated device.
pub(crate) struct Machine {
    memory: Mutex<BTreeMap<u64, Vec<u8>>>,
    report: Option<PathBuf>,
    null: bool,
}

/// A compiled module.
pub(crate) struct Code {
    pub version: (u32, u32),
    pub entries: Vec<Entry>,
    /// Number of its variables.
    pub variables: usize,
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
    pub constant: u32,
    /// Registers of a thread.
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

/// A variable in global or constant memory.
pub(crate) struct Variable {
    pub name: String,
    pub address: u64,
    pub size: u64,
}

impl Machine {
    pub(crate) fn new(config: &Config) -> Self {
        Machine { memory: Mutex::default(), report: config.report.clone(), null: config.null }
    }

    pub(crate) fn allocate(&self, size: u64) -> Option<u64> {
        let mut memory = lock(&self.memory);
        let next = memory.last_key_value().map_or(1 << 40, |(a, m)| (a + m.len() as u64 + (1 << 20)).next_multiple_of(512));
        memory.insert(next, vec![0xAD; size as usize]);
        Some(next)
    }

    pub(crate) fn free(&self, address: u64) {
        lock(&self.memory).remove(&address);
    }

    pub(crate) fn read(&self, address: u64, into: &mut [u8]) -> Outcome {
        let memory = lock(&self.memory);
        let (base, bytes) = memory.range(..=address).next_back().ok_or(Error::ILLEGAL_ADDRESS)?;
        let at = (address - base) as usize;
        into.copy_from_slice(bytes.get(at..at + into.len()).ok_or(Error::ILLEGAL_ADDRESS)?);
        Ok(())
    }

    pub(crate) fn write(&self, address: u64, from: &[u8]) -> Outcome {
        let mut memory = lock(&self.memory);
        let (base, bytes) = memory.range_mut(..=address).next_back().ok_or(Error::ILLEGAL_ADDRESS)?;
        let at = (address - base) as usize;
        bytes.get_mut(at..at + from.len()).ok_or(Error::ILLEGAL_ADDRESS)?.copy_from_slice(from);
        Ok(())
    }

    pub(crate) fn compile(&self, _text: &str) -> Result<Code, Refusal> {
        Err(Refusal::new(Error::NOT_SUPPORTED, "not connected"))
    }

    pub(crate) fn instantiate(&self, code: Code) -> Result<Instance, Error> {
        Ok(Instance { code, variables: Vec::new() })
    }

    pub(crate) fn launch(&self, _launch: &Launch) -> Outcome {
        if self.null {
            return Ok(());
        }
        Err(Error::LAUNCH_FAILED)
    }

    /// Tells the user something that no result code can.
    pub(crate) fn report(&self, text: &str) {
        let written = self.report.as_ref().and_then(|path| {
            let mut file = OpenOptions::new().create(true).append(true).open(path).ok()?;
            writeln!(file, "ptxemu: {text}").ok()
        });
        if written.is_none() {
            eprintln!("ptxemu: {text}");
        }
    }
}
