//! One kernel on the emulated GPU, from buffers in host memory to C in host memory.

use ptx_emulator::{
    Checks, Device, DeviceConfig, Fault, FaultKind, Launch, Module, Schedule, Stop,
};

use super::error::DeviceError;
use super::layout::{Layout, OPERANDS, Place, operand_name};
use super::parameters;
use crate::artifact::{Kernel, Location, Operand};

/// Addresses within so many bytes of a buffer are said in its terms.
const NEAR: u64 = 1 << 16;

/// Every buffer starts so many bytes behind a multiple of 512: callers promise 16-byte alignment and no more.
const OFFSET: u64 = 16;

/// Two or four of these are NaN in every output type, so that an element that is not stored shows.
const NAN_BYTE: u8 = 0xff;

/// The inputs of one group, as a caller hands them over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupBuffers<'a> {
    /// A (tokens): [M, K/2] bytes.
    pub a: &'a [u8],
    /// B (weights): [N, K/2] bytes.
    pub b: &'a [u8],
    /// Scales of A in blocked form.
    pub sfa_blocked: &'a [u8],
    /// Scales of B in blocked form.
    pub sfb_blocked: &'a [u8],
}

/// A kernel loaded on the emulated GPU.
pub struct Emulated<'a> {
    kernel: &'a Kernel,
    pub(super) module: Module,
}

/// A buffer in the emulated GPU's memory.
pub(super) struct Buffer {
    pub layout: Layout,
    pub address: u64,
}

/// The address of the kernel's workspace, if it has one.
pub(super) type Workspace = Option<u64>;

/// Our kernels keep to the letter of the ISA.
pub(super) fn device() -> Device {
    Device::new(DeviceConfig {
        checks: Checks::Strict,
        ..DeviceConfig::default()
    })
}

impl<'a> Emulated<'a> {
    /// Loads the kernel's PTX.
    ///
    /// # Errors
    /// [`DeviceError::Load`].
    pub fn load(kernel: &'a Kernel) -> Result<Self, DeviceError> {
        let module = Module::load(&kernel.entry.file, &kernel.ptx).map_err(DeviceError::Load)?;
        Ok(Emulated { kernel, module })
    }

    /// Runs the kernel once and returns C of each group: [M, N] row-major, in the bytes of the output type.
    ///
    /// Every buffer is exactly as large as its operand, C is NaN before the launch: any other byte that the kernel
    /// touches is a fault, and any element that it does not store shows.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn run(
        &self,
        groups: &[GroupBuffers],
        schedule: Schedule,
    ) -> Result<Vec<Vec<u8>>, DeviceError> {
        let mut device = device();
        let buffers = self.allocate(&mut device, groups)?;
        let workspace = self.workspace(&mut device)?;
        if let Some(launch) = self.launch(&mut device, &buffers, workspace, false)? {
            device
                .launch(&self.module, &launch, schedule)
                .map_err(|stop| stopped(stop, &buffers))?;
        }
        outputs(&device, &buffers)
    }

    /// The kernel's launch on these buffers. `None` if there is nothing to compute.
    pub(super) fn launch(
        &self,
        device: &mut Device,
        buffers: &[Buffer],
        workspace: Workspace,
        programmatic: bool,
    ) -> Result<Option<Launch>, DeviceError> {
        let entry = &self.kernel.entry;
        if entry.launch.grid.iter().product::<u32>() == 0 {
            return Ok(None);
        }
        let address =
            |group, operand| find(buffers, group as usize, operand).map(|buffer| buffer.address);
        let block = parameters::fill(&entry.parameters, address, workspace)?;
        let params = match entry.parameters.location {
            Location::Parameter => block,
            Location::Device => table(device, &block)?.to_le_bytes().to_vec(),
        };
        Ok(Some(Launch {
            entry: entry.function.clone(),
            grid: entry.launch.grid,
            block: entry.launch.block,
            cluster: entry.launch.cluster,
            dynamic_shared: entry.launch.dynamic_shared,
            params,
            programmatic,
        }))
    }

    /// Memory for launches of the kernel to work in, zero at first.
    pub(super) fn workspace(&self, device: &mut Device) -> Result<Workspace, DeviceError> {
        let bytes = self.kernel.entry.parameters.workspace_bytes as usize;
        if bytes == 0 {
            return Ok(None);
        }
        let address = device.allocate("workspace", bytes, 0);
        let zeroed = device.write(address, &vec![0; bytes]);
        zeroed.map_err(|stop| stopped(stop, &[]))?;
        Ok(Some(address))
    }

    /// Buffers for the operands of all groups, the inputs filled.
    pub(super) fn allocate(
        &self,
        device: &mut Device,
        groups: &[GroupBuffers],
    ) -> Result<Vec<Buffer>, DeviceError> {
        let sizes = &self.kernel.entry.sizes;
        if groups.len() != sizes.m.len() {
            let message = format!(
                "{} groups of operands for a set of {}",
                groups.len(),
                sizes.m.len()
            );
            return Err(DeviceError::Inputs(message));
        }
        let mut buffers = Vec::with_capacity(5 * groups.len());
        for (group, input) in groups.iter().enumerate() {
            for operand in OPERANDS {
                let unclear =
                    || DeviceError::Manifest(format!("sizes of group {group} are not complete"));
                let layout = Layout::of(sizes, group, operand).ok_or_else(unclear)?;
                buffers.push(Buffer::new(device, layout, input.of(operand))?);
            }
        }
        Ok(buffers)
    }
}

/// The block as a table in device memory, aligned as allocations of a driver are.
fn table(device: &mut Device, block: &[u8]) -> Result<u64, DeviceError> {
    let address = device.allocate("table", block.len(), 0);
    let written = device.write(address, block);
    written.map_err(|stop| stopped(stop, &[]))?;
    Ok(address)
}

impl Buffer {
    /// Memory for one operand. What has no content is filled with NaN.
    pub fn new(
        device: &mut Device,
        layout: Layout,
        content: Option<&[u8]>,
    ) -> Result<Self, DeviceError> {
        let name = format!("{}.{}", layout.group, operand_name(layout.operand));
        let wanted = layout.bytes();
        let got = content.map_or(wanted, <[u8]>::len);
        if got != wanted {
            let message =
                format!("{name}: {got} bytes, where the sizes of the set ask for {wanted}");
            return Err(DeviceError::Inputs(message));
        }
        let address = device.allocate(&name, wanted, OFFSET);
        let nan = || vec![NAN_BYTE; wanted];
        let write = |bytes: &[u8]| device.write(address, bytes);
        content
            .map_or_else(|| write(&nan()), write)
            .map_err(|stop| stopped(stop, &[]))?;
        Ok(Buffer { layout, address })
    }
}

impl<'a> GroupBuffers<'a> {
    fn of(&self, operand: Operand) -> Option<&'a [u8]> {
        match operand {
            Operand::A => Some(self.a),
            Operand::B => Some(self.b),
            Operand::Sfa => Some(self.sfa_blocked),
            Operand::Sfb => Some(self.sfb_blocked),
            Operand::C => None,
        }
    }
}

fn find(buffers: &[Buffer], group: usize, operand: Operand) -> Option<&Buffer> {
    buffers
        .iter()
        .find(|buffer| (buffer.layout.group, buffer.layout.operand) == (group, operand))
}

/// C of every group, in order.
pub(super) fn outputs(device: &Device, buffers: &[Buffer]) -> Result<Vec<Vec<u8>>, DeviceError> {
    let of_c = buffers
        .iter()
        .filter(|buffer| buffer.layout.operand == Operand::C);
    let read = |buffer: &Buffer| device.read(buffer.address, buffer.layout.bytes());
    of_c.map(read)
        .collect::<Result<_, _>>()
        .map_err(|stop| stopped(stop, buffers))
}

/// Says the address of a fault, if it has one, in terms of the nearest operand.
pub(super) fn stopped(stop: Stop, buffers: &[Buffer]) -> DeviceError {
    let place = global_address(&stop).and_then(|address| nearest(address, buffers));
    DeviceError::Stopped {
        stop: Box::new(stop),
        place,
    }
}

fn global_address(stop: &Stop) -> Option<u64> {
    let Stop::Fault(Fault { kind, .. }) = stop else {
        return None;
    };
    match kind {
        FaultKind::OutOfBounds {
            space: "global",
            address,
            ..
        } => Some(*address),
        FaultKind::Misaligned {
            space: "global",
            address,
            ..
        } => Some(*address),
        _ => None,
    }
}

fn nearest(address: u64, buffers: &[Buffer]) -> Option<Place> {
    let places = buffers
        .iter()
        .filter(|buffer| buffer.layout.bytes() > 0)
        .map(|buffer| Place {
            layout: buffer.layout,
            offset: address.wrapping_sub(buffer.address) as i64,
        });
    places
        .min_by_key(Place::distance)
        .filter(|place| place.distance() <= NEAR)
}
