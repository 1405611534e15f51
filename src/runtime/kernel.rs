//! A kernel on a device, with everything done that can be done before addresses are known.

use std::ffi::CString;
use std::fmt;
use std::sync::Arc;

use super::block::{Binding, Block};
use super::checks::{self, Notice};
use super::device::{Device, Properties};
use super::error::Error;
use super::launch::Launch;
use super::module::{Function, Module, Refusal};
use super::tensor_map;
use crate::artifact::{KernelEntry, Listing, Location, StoreError};

/// A loaded kernel. Clones share it; it is unloaded with the last of them and of their launches and graphs, which must
/// not be before its work is done.
#[derive(Clone)]
pub struct Kernel {
    pub(super) loaded: Arc<Loaded>,
}

/// What the driver was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Image {
    /// Machine code that was built beforehand.
    Cubin,
    /// PTX, compiled by the driver.
    Ptx,
}

pub(super) struct Loaded {
    pub entry: KernelEntry,
    pub device: Device,
    pub function: Function,
    pub binding: Binding,
    pub template: Block,
    /// Whether the kernel waits for the one before it by itself.
    pub programmatic: bool,
    image: Image,
    notices: Vec<Notice>,
    /// Keeps the function.
    _module: Module,
}

impl Kernel {
    pub(super) fn load(
        device: &Device,
        library: &Listing,
        entry: &KernelEntry,
    ) -> Result<Self, Error> {
        let mut binding = Binding::new(entry).map_err(|reason| Error::Inconsistent {
            key: entry.key.clone(),
            reason,
        })?;
        let properties = device.properties();
        let files = Files::read(library, entry, properties)?;
        let mut notices = Vec::from_iter(checks::check(entry, properties, files.cubin.is_none())?);
        let (module, image) = files.load(device, entry, &mut notices)?;
        let function = module.function(entry)?;
        let mut template = Block::new(entry.parameters.bytes);
        tensor_map::encode_all(device.driver(), entry, &mut template, &mut binding)?;
        let loaded = Arc::new(Loaded {
            entry: entry.clone(),
            device: device.clone(),
            function,
            binding,
            template,
            programmatic: files.ptx.contains("griddepcontrol.wait"),
            image,
            notices,
            _module: module,
        });
        Ok(Kernel { loaded })
    }

    /// A launch of one's own: a parameter block that waits for addresses. The device's context becomes the calling
    /// thread's if that has none.
    pub fn prepare(&self) -> Launch {
        Launch::new(self)
    }

    /// The shape key.
    pub fn key(&self) -> &str {
        &self.loaded.entry.key
    }

    /// Everything the manifest says of it.
    pub fn entry(&self) -> &KernelEntry {
        &self.loaded.entry
    }

    /// The device it is loaded on.
    pub fn device(&self) -> &Device {
        &self.loaded.device
    }

    /// What the driver took.
    pub fn image(&self) -> Image {
        self.loaded.image
    }

    /// What is worth knowing of how it fits the device.
    pub fn notices(&self) -> &[Notice] {
        &self.loaded.notices
    }

    /// Whether it may be launched with programmatic dependence: see [`Launch::set_programmatic`].
    pub fn is_programmatic(&self) -> bool {
        self.loaded.programmatic
    }

    /// Whether its launches need memory of their own to work in, which [`Launch::bind`] allocates the first time.
    pub fn has_workspace(&self) -> bool {
        self.loaded.entry.parameters.workspace_bytes > 0
    }

    /// Whether the set has so many groups that their tensor maps and addresses exceed a kernel's parameters (117 groups of
    /// one tile width just fit) and are a table in device memory. A launch allocates up to eight of them, as needed, writes
    /// one only if an address has changed, and waits, when it is dropped, for the work that reads them.
    pub fn uses_table(&self) -> bool {
        self.loaded.entry.parameters.location == Location::Device
    }

    /// Tensor maps whose address has to be replaced by a driver call in each bind, because how the driver lays them out
    /// could not be told. Zero on every driver known.
    pub fn replaced_maps(&self) -> usize {
        self.loaded.binding.replaced.len()
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel")
            .field("key", &self.key())
            .field("device", self.device())
            .field("image", &self.image())
            .finish()
    }
}

/// A kernel's files, their hashes verified.
struct Files {
    ptx: String,
    cubin: Option<Vec<u8>>,
}

impl Files {
    fn read(
        library: &Listing,
        entry: &KernelEntry,
        properties: &Properties,
    ) -> Result<Self, Error> {
        let capability = properties.capability;
        let cubin = library
            .cubin(entry)
            .filter(|cubin| checks::runs_on(&cubin.architecture, capability))
            .map(|cubin| library.read_cubin(cubin));
        Ok(Files {
            ptx: library.read_ptx(entry)?,
            cubin: match cubin.transpose() {
                // Machine code is not kept in version control: a copy of the library may be without it.
                Err(StoreError::Missing { .. }) => None,
                cubin => cubin?,
            },
        })
    }

    /// The cubin if the driver takes it, else the PTX.
    fn load(
        &self,
        device: &Device,
        entry: &KernelEntry,
        notices: &mut Vec<Notice>,
    ) -> Result<(Module, Image), Error> {
        if let Some(cubin) = &self.cubin {
            match Module::from_cubin(device, cubin) {
                Ok(module) => return Ok((module, Image::Cubin)),
                Err(refusal) => notices.push(Notice::CubinRefused {
                    reason: refusal.error.to_string(),
                }),
            }
            checks::check(entry, device.properties(), true)?;
        }
        let key = &entry.key;
        let ptx = CString::new(self.ptx.as_str()).map_err(|_| Error::Inconsistent {
            key: key.clone(),
            reason: "its PTX has a NUL in it".into(),
        })?;
        let refused = |Refusal { error, log }| Error::Jit {
            key: key.clone(),
            error,
            log,
        };
        let module = Module::from_ptx(device, &ptx).map_err(refused)?;
        Ok((module, Image::Ptx))
    }
}
