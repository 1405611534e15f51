//! Copies and fills.

use crate::driver::driver;
use crate::error::{Error, Outcome};
use crate::machine::Machine;
use crate::memory;
use crate::pointer::Host;

/// One end of a copy.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Host(Host),
    Device(u64),
    /// What was in pageable host memory at the time of the call.
    Bytes(Vec<u8>),
}

/// One end of a copy with the distances of its rows and slices in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    pub place: Place,
    pub pitch: usize,
    pub slice: usize,
}

/// A copy of `depth` slices of `height` rows of `width` bytes.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub from: Side,
    pub to: Side,
    pub width: usize,
    pub height: usize,
    pub depth: usize,
}

impl Place {
    /// A pointer of either kind, told apart by where it points.
    pub(crate) fn of(address: u64) -> Result<Place, Error> {
        Ok(match memory::is_device(address)? {
            true => Place::Device(address),
            false => Place::Host(Host::from_address(address as usize)),
        })
    }

    fn check(&self, extent: usize) -> Outcome {
        match self {
            Place::Device(address) => memory::check(*address, extent as u64),
            Place::Host(host) if host.is_null() => Err(Error::INVALID_VALUE),
            _ => Ok(()),
        }
    }
}

impl Copy {
    /// `width` bytes in a row.
    pub(crate) fn linear(to: Place, from: Place, width: usize) -> Self {
        let side = |place| Side {
            place,
            pitch: width,
            slice: width,
        };
        Copy {
            from: side(from),
            to: side(to),
            width,
            height: 1,
            depth: 1,
        }
    }

    fn is_empty(&self) -> bool {
        self.width == 0 || self.height == 0 || self.depth == 0
    }

    /// From the first byte of a side to behind its last one.
    fn extent(&self, side: &Side) -> usize {
        (self.depth - 1) * side.slice + (self.height - 1) * side.pitch + self.width
    }

    /// Whether both ends are there.
    pub(crate) fn check(&self) -> Outcome {
        if self.is_empty() {
            return Ok(());
        }
        if self.height > 1 && (self.from.pitch < self.width || self.to.pitch < self.width) {
            return Err(Error::INVALID_VALUE);
        }
        self.from.place.check(self.extent(&self.from))?;
        self.to.place.check(self.extent(&self.to))
    }

    /// Whether the host memory of an end is not pinned, so that the call itself must deal with it.
    pub(crate) fn reads_pageable(&self) -> Result<bool, Error> {
        is_pageable(&self.from.place)
    }

    /// The same for the destination.
    pub(crate) fn writes_pageable(&self) -> Result<bool, Error> {
        is_pageable(&self.to.place)
    }

    /// Takes a copy of the source now, as staging does.
    pub(crate) fn stage(&mut self) {
        if self.is_empty() {
            return;
        }
        if let Place::Host(host) = self.from.place {
            let mut bytes = vec![0; self.extent(&self.from)];
            host.read(&mut bytes);
            self.from.place = Place::Bytes(bytes);
        }
    }

    pub(crate) fn run(&self) -> Outcome {
        if self.is_empty() {
            return Ok(());
        }
        let machine = &driver()?.machine;
        let mut row = vec![0; self.width];
        for z in 0..self.depth {
            for y in 0..self.height {
                let from = z * self.from.slice + y * self.from.pitch;
                let to = z * self.to.slice + y * self.to.pitch;
                self.run_row(machine, from, to, &mut row)?;
            }
        }
        Ok(())
    }

    fn run_row(&self, machine: &Machine, from: usize, to: usize, row: &mut [u8]) -> Outcome {
        if let (Place::Host(source), Place::Host(target)) = (&self.from.place, &self.to.place) {
            target.offset(to).copy(source.offset(from), row.len());
            return Ok(());
        }
        match &self.from.place {
            Place::Host(host) => host.offset(from).read(row),
            Place::Bytes(bytes) => row.copy_from_slice(&bytes[from..from + self.width]),
            Place::Device(address) => machine.read(address + from as u64, row)?,
        }
        match &self.to.place {
            Place::Host(host) => host.offset(to).write(row),
            Place::Bytes(_) => return Err(Error::INVALID_VALUE),
            Place::Device(address) => machine.write(address + to as u64, row)?,
        }
        Ok(())
    }
}

fn is_pageable(place: &Place) -> Result<bool, Error> {
    match place {
        Place::Host(host) => memory::is_pinned(*host).map(|pinned| !pinned),
        _ => Ok(false),
    }
}

/// A fill of `height` rows of `width` elements of 1, 2 or 4 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill {
    pub address: u64,
    pub pitch: usize,
    pub value: u32,
    pub element: usize,
    pub width: usize,
    pub height: usize,
}

impl Fill {
    pub(crate) fn linear(address: u64, value: u32, element: usize, width: usize) -> Self {
        Fill {
            address,
            pitch: width * element,
            value,
            element,
            width,
            height: 1,
        }
    }

    /// Whether the target is there and aligned.
    pub(crate) fn check(&self) -> Outcome {
        if self.width == 0 || self.height == 0 {
            return Ok(());
        }
        let row = self.width * self.element;
        let aligned = |n: usize| n.is_multiple_of(self.element);
        let pitched = self.height == 1 || (self.pitch >= row && aligned(self.pitch));
        if !matches!(self.element, 1 | 2 | 4) || !aligned(self.address as usize) || !pitched {
            return Err(Error::INVALID_VALUE);
        }
        memory::check(self.address, ((self.height - 1) * self.pitch + row) as u64)
    }

    pub(crate) fn run(&self) -> Outcome {
        let machine = &driver()?.machine;
        let row = self.value.to_le_bytes()[..self.element].repeat(self.width);
        for y in 0..self.height {
            if self.width > 0 {
                machine.write(self.address + (y * self.pitch) as u64, &row)?;
            }
        }
        Ok(())
    }
}
