//! Which registers hold defined values, lane by lane. Undefined values may be moved and computed with; they must not
//! decide anything (a guard, an address, an operand of an asynchronous or synchronising instruction) nor be stored to
//! global memory.

use crate::isa::{Byte, Operands, Slot, Src, Taint};
use crate::machine::{FaultKind, Site};

/// An undefined value that reached a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undefined {
    /// What it is used for.
    pub role: &'static str,
    /// Lane that uses it.
    pub lane: u32,
    /// Where it was read from memory, if it was.
    pub origin: Option<Site>,
}

impl std::fmt::Display for Undefined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "lane {} uses an undefined value as {}",
            self.lane, self.role
        )?;
        match &self.origin {
            Some(site) => write!(f, "; it comes from uninitialised memory at {site}"),
            None => write!(f, "; a register on its way was never written"),
        }
    }
}

/// The registers of a warp: lanes that are undefined, the line that read them from memory, or 0, and which bytes are
/// undefined in those lanes that are not undefined as a whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registers {
    undefined: Vec<u32>,
    origin: Vec<u32>,
    partial: Vec<u32>,
    bytes: Vec<u8>,
}

/// What an instruction makes of undefined operands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken {
    lanes: u32,
    origin: u32,
    /// Results that are undefined in some bytes only.
    parts: Vec<(Slot, u32, u8)>,
}

impl From<(u32, u32)> for Taken {
    fn from((lanes, origin): (u32, u32)) -> Self {
        Taken {
            lanes,
            origin,
            parts: Vec::new(),
        }
    }
}

impl Registers {
    /// All undefined, but those of `defined`. With no registers at all nothing is tracked.
    pub fn new(count: usize, defined: impl Iterator<Item = Slot>) -> Self {
        let mut this = Registers {
            undefined: vec![u32::MAX; count],
            origin: vec![0; count],
            partial: vec![0; count],
            bytes: vec![0; count],
        };
        defined.for_each(|slot| this.define(slot, u32::MAX, 0, 0));
        this
    }

    pub fn undefined(&self, src: Src) -> (u32, u32) {
        match src {
            Src::Reg(slot) => self.slot(slot),
            _ => (0, 0),
        }
    }

    /// The same for the low bytes of a register in one lane.
    pub fn undefined_below(&self, src: Src, bytes: usize, lane: usize) -> (u32, u32) {
        let low = (1u16 << bytes.min(8)) - 1;
        match src {
            Src::Reg(slot) if u16::from(self.bytes(slot, 1 << lane)) & low != 0 => self.slot(slot),
            _ => (0, 0),
        }
    }

    fn slot(&self, slot: Slot) -> (u32, u32) {
        let lanes = self.undefined.get(slot as usize).copied().unwrap_or(0);
        (lanes, self.origin.get(slot as usize).copied().unwrap_or(0))
    }

    /// The lanes of `mask` have been written; those of `undefined` with an undefined value.
    pub fn define(&mut self, slot: Slot, mask: u32, undefined: u32, origin: u32) {
        let Some(lanes) = self.undefined.get_mut(slot as usize) else {
            return;
        };
        *lanes = *lanes & !mask | undefined & mask;
        self.partial[slot as usize] &= !mask;
        if undefined & mask != 0 {
            self.origin[slot as usize] = origin;
        }
    }

    /// The same for a value that is undefined in some bytes.
    fn define_bytes(&mut self, slot: Slot, mask: u32, undefined: u32, origin: u32, bytes: u8) {
        self.define(slot, mask, undefined, origin);
        let slot = slot as usize;
        if undefined & mask != 0 && slot < self.bytes.len() {
            let kept = if self.partial[slot] == 0 {
                0
            } else {
                self.bytes[slot]
            };
            self.bytes[slot] = kept | bytes;
            self.partial[slot] |= undefined & mask;
        }
    }

    /// The undefined bytes of a register in any of the lanes.
    fn bytes(&self, slot: Slot, mask: u32) -> u8 {
        let lanes = self.slot(slot).0 & mask;
        match slot as usize {
            _ if lanes == 0 => 0,
            slot if lanes & !self.partial[slot] != 0 => u8::MAX,
            slot => self.bytes[slot],
        }
    }

    /// Lanes and bytes of a result that is put together.
    fn gather(&self, bytes: &[Byte], mask: u32) -> (u32, u8) {
        let mut result = (0, 0);
        for (i, source) in bytes.iter().enumerate() {
            let Some((slot, byte)) = *source else {
                continue;
            };
            let (lanes, _) = self.slot(slot);
            if self.bytes(slot, mask) >> byte & 1 != 0 {
                result.0 |= lanes;
                result.1 |= 1 << i;
            }
        }
        result
    }

    /// The bytes of a result whose parts of `width` bytes are computed from the same parts of operands.
    fn parts(&self, slots: &[Slot], width: u8, mask: u32) -> u8 {
        let bytes = (slots.iter()).fold(0, |all, slot| all | self.bytes(*slot, mask));
        let part = |first: u8| (((1u16 << width) - 1) as u8) << first;
        (0..8 / width)
            .map(|i| part(i * width))
            .filter(|part| bytes & part != 0)
            .fold(0, |all, part| all | part)
    }

    fn any(&self, slots: &[Slot]) -> (u32, u32) {
        let mut result = (0, 0);
        for slot in slots {
            let (lanes, origin) = self.slot(*slot);
            if lanes != 0 {
                result.0 |= lanes;
                result.1 = result.1.max(origin);
            }
        }
        result
    }

    /// What the instruction would do with undefined values: lanes and origin of its results, or a fault.
    pub fn before(
        &self,
        operands: &Operands,
        taint: &Taint,
        mask: u32,
        here: &dyn Fn() -> Site,
        values: impl Fn(Src, u64) -> u32,
    ) -> Result<Taken, FaultKind> {
        require(self.any(&operands.addresses), mask, "an address", here)?;
        let taken = match taint {
            Taint::Lanewise => Ok(self.any(&operands.reads)),
            Taint::Bytes(results) => {
                let (lanes, origin) = self.any(&operands.reads);
                if lanes == 0 {
                    return Ok(Taken::default());
                }
                let part = |(slot, bytes): &(Slot, Vec<_>)| {
                    let (lanes, bytes) = self.gather(bytes, mask);
                    (*slot, lanes, bytes)
                };
                return Ok(Taken {
                    lanes: 0,
                    origin,
                    parts: results.iter().map(part).collect(),
                });
            }
            Taint::Parts(width) => {
                let (lanes, origin) = self.any(&operands.reads);
                if lanes == 0 {
                    return Ok(Taken::default());
                }
                let bytes = self.parts(&operands.reads, *width, mask);
                let part = |slot: &Slot| (*slot, lanes, bytes);
                return Ok(Taken {
                    lanes: 0,
                    origin,
                    parts: operands.writes.iter().map(part).collect(),
                });
            }
            Taint::Strict => {
                require(self.any(&operands.reads), mask, "an operand", here)?;
                Ok((0, 0))
            }
            Taint::Select { a, b, p, negated } => {
                let chosen = values(*p, 1) ^ if *negated { u32::MAX } else { 0 };
                let ((a, from_a), (b, from_b), (p, from_p)) =
                    (self.undefined(*a), self.undefined(*b), self.undefined(*p));
                Ok((p | a & chosen | b & !chosen, from_a.max(from_b).max(from_p)))
            }
            Taint::Absorbing { a, b, value } => {
                let (all, origin) = self.any(&operands.reads);
                if all == 0 {
                    return Ok(Taken::default());
                }
                let decided = |src| values(src, *value) & !self.undefined(src).0;
                Ok((all & !decided(*a) & !decided(*b), origin))
            }
            Taint::Own => Ok((0, 0)),
        };
        taken.map(Taken::from)
    }

    /// The results of an instruction that does not define them itself.
    pub fn after(&mut self, operands: &Operands, taint: &Taint, mask: u32, taken: Taken) {
        if matches!(taint, Taint::Own) {
            return;
        }
        for slot in &operands.writes {
            self.define(*slot, mask, taken.lanes, taken.origin);
        }
        for (slot, lanes, bytes) in taken.parts {
            self.define_bytes(slot, mask, lanes, taken.origin, bytes);
        }
    }

    /// The guard of an instruction must be defined.
    pub fn guard(&self, slot: Slot, mask: u32, here: &dyn Fn() -> Site) -> Result<(), FaultKind> {
        require(self.slot(slot), mask, "a guard", here)
    }
}

/// A fault if one of the lanes is undefined.
pub(crate) fn require(
    (undefined, origin): (u32, u32),
    mask: u32,
    role: &'static str,
    here: &dyn Fn() -> Site,
) -> Result<(), FaultKind> {
    let lanes = undefined & mask;
    if lanes == 0 {
        return Ok(());
    }
    let lane = lanes.trailing_zeros();
    let origin = (origin != 0).then(|| Site {
        line: origin,
        lane: Some(lane),
        ..here()
    });
    Err(FaultKind::UninitialisedRead(Box::new(Undefined {
        role,
        lane,
        origin,
    })))
}
