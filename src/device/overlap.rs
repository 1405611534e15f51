//! A kernel among launches that it may overlap (programmatic dependent launch).
//!
//! In front of it stands a launch that lets it start at once, and only then writes the tokens and their scales and reads
//! what C was before, as the kernels of a model do; behind it stands the same kernel again, on another C. Whatever the
//! kernel does too early is a fault that names both parties.

use ptx_emulator::{Device, Launch, Module};

use super::Schedule;
use super::error::DeviceError;
use super::gpu::{Buffer, Emulated, GroupBuffers, device, outputs, stopped};
use crate::artifact::Operand;

const NEIGHBOUR: &str = include_str!("neighbour.ptx");
/// What the neighbour copies at a time.
const WORD: usize = 8;

impl Emulated<'_> {
    /// Runs the kernel twice, each time as a programmatic launch, behind a launch that writes its tokens. Returns C of
    /// each group for both, like [`Emulated::run`].
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn run_overlapping(
        &self,
        groups: &[GroupBuffers],
        schedule: Schedule,
    ) -> Result<[Vec<Vec<u8>>; 2], DeviceError> {
        let mut device = device();
        let first = self.allocate(&mut device, groups)?;
        // The second C is another one; the inputs stay the same.
        let mut second = Vec::with_capacity(first.len());
        for buffer in &first {
            second.push(match buffer.layout.operand {
                Operand::C => Buffer::new(&mut device, buffer.layout, None)?,
                _ => Buffer { ..*buffer },
            });
        }
        let neighbour = Module::load("neighbour.ptx", NEIGHBOUR).map_err(DeviceError::Load)?;
        let table = copies(&mut device, &first)?;
        let rows = (table.len() / (3 * WORD)) as u32;
        let mut launches = Vec::new();
        if rows > 0 {
            let address = device.allocate("neighbour.table", table.len(), 0);
            let written = device.write(address, &table);
            written.map_err(|stop| stopped(stop, &first))?;
            launches.push((&neighbour, in_front(rows, address)));
        }
        let workspace = self.workspace(&mut device)?;
        for buffers in [&first, &second] {
            if let Some(launch) = self.launch(&mut device, buffers, workspace, true)? {
                launches.push((&self.module, launch));
            }
        }
        let sequence: Vec<_> = launches.iter().map(|(m, launch)| (*m, launch)).collect();
        let done = device.launch_sequence(&sequence, schedule);
        done.map_err(|failed| stopped(failed.stop, &first))?;
        Ok([outputs(&device, &first)?, outputs(&device, &second)?])
    }
}

fn in_front(rows: u32, table: u64) -> Launch {
    Launch {
        entry: "neighbour".into(),
        grid: [rows, 1, 1],
        block: [256, 1, 1],
        cluster: [1, 1, 1],
        dynamic_shared: 0,
        params: table.to_le_bytes().to_vec(),
        programmatic: false,
    }
}

/// The neighbour's table: tokens and their scales come from where they are now, which is left as NaN; C goes elsewhere.
fn copies(device: &mut Device, buffers: &[Buffer]) -> Result<Vec<u8>, DeviceError> {
    let mut table = Vec::new();
    for buffer in buffers.iter().filter(|buffer| buffer.layout.bytes() > 0) {
        let bytes = buffer.layout.bytes();
        let aside = match buffer.layout.operand {
            Operand::A | Operand::Sfa | Operand::C => device.allocate("neighbour", bytes, 0),
            Operand::B | Operand::Sfb => continue,
        };
        let (destination, source) = match buffer.layout.operand {
            Operand::C => (aside, buffer.address),
            _ => (buffer.address, aside),
        };
        if source == aside {
            let moved = device
                .read(buffer.address, bytes)
                .and_then(|content| device.write(aside, &content))
                .and_then(|()| device.write(buffer.address, &vec![0xff; bytes]));
            moved.map_err(|stop| stopped(stop, buffers))?;
        }
        let row = [destination, source, (bytes / WORD) as u64];
        table.extend(row.iter().flat_map(|field| field.to_le_bytes()));
    }
    Ok(table)
}
