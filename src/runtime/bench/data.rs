//! Operands on a device, what clears its cache, and how fast it copies.

use super::super::{Buffer, Device, Error, Event, Pointers, Stream};
use crate::problem::Set;
use crate::verify::{Data, GroupInputs, Summation, check_group, draw};

/// The operands of one call. What they hold can be drawn again from the seed.
pub(super) struct DataSet {
    set: Set,
    seed: u64,
    /// A, B, SFA, SFB and C of each group.
    buffers: Vec<[Buffer; 5]>,
    pointers: Vec<Pointers>,
}

impl DataSet {
    /// Draws operands and copies them to the device. Outputs are filled with NaN.
    pub fn new(device: &Device, stream: &Stream, set: &Set, seed: u64) -> Result<Self, Error> {
        let of_group = |index| inputs(set, index, seed);
        let data = Self::copied(device, stream, set, (0..set.groups.len()).map(of_group))?;
        Ok(DataSet { seed, ..data })
    }

    /// Copies operands to the device, one for each group. Outputs are filled with NaN.
    pub fn copied(
        device: &Device,
        stream: &Stream,
        set: &Set,
        operands: impl Iterator<Item = Result<GroupInputs, Error>>,
    ) -> Result<Self, Error> {
        let mut buffers = Vec::new();
        for (index, inputs) in operands.enumerate() {
            let inputs = inputs?;
            let fill = |bytes: &[u8]| Buffer::from_bytes(device, stream, bytes);
            let c = Buffer::new(device, output_bytes(set, index))?;
            c.fill(stream, 0xFF)?;
            buffers.push([
                fill(&inputs.a)?,
                fill(&inputs.b)?,
                fill(&inputs.sfa_blocked)?,
                fill(&inputs.sfb_blocked)?,
                c,
            ]);
        }
        stream.synchronize()?;
        let pointers = buffers.iter().map(|group| {
            let [a, b, sfa, sfb, c] = group.each_ref().map(Buffer::address);
            // SAFETY: the buffers have the operands' sizes and live as long as these addresses. What is freed with
            // work in flight the driver waits for.
            unsafe { Pointers::new(a, b, sfa, sfb, c) }
        });
        Ok(DataSet {
            set: set.clone(),
            seed: 0,
            pointers: pointers.collect(),
            buffers,
        })
    }

    pub fn pointers(&self) -> &[Pointers] {
        &self.pointers
    }

    /// C of a group, in the bytes of the output type.
    pub fn output(&self, stream: &Stream, index: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; output_bytes(&self.set, index)];
        self.buffers[index][4].read(stream, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills every output with NaN, in the stream's order: what is then right was computed since.
    pub fn clear(&self, stream: &Stream) -> Result<(), Error> {
        let mut outputs = self.buffers.iter().map(|[.., c]| c);
        outputs.try_for_each(|c| c.fill(stream, 0xFF))
    }

    /// Holds every output to the exact reference; `summation` is how the kernel adds up.
    pub fn is_right(&self, stream: &Stream, summation: Summation) -> Result<bool, Error> {
        for (index, group) in self.set.groups.iter().enumerate() {
            let inputs = inputs(&self.set, index, self.seed)?;
            let got = self.output(stream, index)?;
            let verdict = check_group(index, group, self.set.output, summation, &inputs, &got);
            if !verdict.is_ok_and(|verdict| verdict.passed()) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn inputs(set: &Set, index: usize, seed: u64) -> Result<GroupInputs, Error> {
    draw::group(&set.groups[index], index, seed, Data::FullRange).map_err(|error| {
        Error::Inconsistent {
            key: set.key(),
            reason: format!("no operands can be drawn for group {index}: {error}"),
        }
    })
}

fn output_bytes(set: &Set, index: usize) -> usize {
    let group = &set.groups[index];
    group.m as usize * group.n as usize * set.output.bytes() as usize
}

/// A buffer that does not fit the L2 cache beside anything else.
pub(super) struct Flush(Buffer);

impl Flush {
    pub fn new(device: &Device) -> Result<Self, Error> {
        // An emulated cache holds nothing.
        let l2 = device.properties().l2_bytes as usize;
        let bytes = if device.is_emulated() {
            1
        } else {
            2 * l2.max(1)
        };
        Ok(Flush(Buffer::new(device, bytes)?))
    }

    /// Writes all of it, in the stream's order.
    pub fn clear(&self, stream: &Stream) -> Result<(), Error> {
        self.0.fill(stream, 0)
    }
}

/// How fast a device copies its own memory.
#[derive(Clone, Copy, Debug)]
pub struct Bandwidth {
    /// Bytes read and bytes written, a second.
    pub bytes_per_second: f64,
}

impl Bandwidth {
    /// The best of ten copies of a gibibyte, or of an eighth of the memory if that is less. None on an emulated device,
    /// which has no bandwidth.
    ///
    /// # Errors
    /// [`Error::Call`].
    pub fn measure(device: &Device) -> Result<Option<Self>, Error> {
        if device.is_emulated() {
            return Ok(None);
        }
        let bytes = (device.properties().memory_bytes / 8).clamp(1, 1 << 30) as usize;
        let stream = Stream::new(device)?;
        let (from, to) = (Buffer::new(device, bytes)?, Buffer::new(device, bytes)?);
        let (start, end) = (Event::new(device)?, Event::new(device)?);
        let mut best = f64::INFINITY;
        for _ in 0..10 {
            start.record(&stream)?;
            to.copy_from(&stream, &from)?;
            end.record(&stream)?;
            best = best.min(end.microseconds_since(&start)?);
        }
        Ok(Some(Bandwidth {
            bytes_per_second: 2.0 * bytes as f64 / best * 1e6,
        }))
    }

    /// How long it takes for so many bytes.
    pub fn microseconds(&self, bytes: u64) -> f64 {
        bytes as f64 / self.bytes_per_second * 1e6
    }
}
