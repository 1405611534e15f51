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

impl Taken {
    /// Results that are undefined in some bytes only: registers, lanes and bytes.
    fn parts(origin: u32, parts: impl Iterator<Item = (Slot, u32, u8)>) -> Self {
        Taken {
            lanes: 0,
            origin,
            parts: parts.collect(),
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

    /// The bytes of an operand that are undefined in any of the lanes.
    pub fn undefined_bytes(&self, src: Src, lanes: u32) -> u8 {
        match src {
            Src::Reg(slot) => self.bytes(slot, lanes),
            _ => 0,
        }
    }

    /// The same as [`Registers::undefined`], for the low bytes of an operand in one lane.
    pub fn undefined_below(&self, src: Src, bytes: usize, lane: usize) -> (u32, u32) {
        let low = (1u16 << bytes.min(8)) - 1;
        match self.undefined_bytes(src, 1 << lane) & low as u8 {
            0 => (0, 0),
            _ => self.undefined(src),
        }
    }

    pub fn undefined(&self, src: Src) -> (u32, u32) {
        match src {
            Src::Reg(slot) => self.slot(slot),
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
    pub fn define_bytes(&mut self, slot: Slot, mask: u32, undefined: u32, origin: u32, bytes: u8) {
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
    fn gather(&self, bytes: &[Byte], lanes: u32) -> (u32, u8) {
        let mut result = (0, 0);
        for (i, source) in bytes.iter().enumerate() {
            for (slot, mask) in source {
                if self.bytes(*slot, lanes) & mask != 0 {
                    result.0 |= self.slot(*slot).0;
                    result.1 |= 1 << i;
                }
            }
        }
        result
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
        let all = self.any(&operands.reads);
        if all.0 == 0 {
            return Ok(Taken::default());
        }
        Ok(match taint {
            Taint::Own => Taken::default(),
            Taint::Lanewise => all.into(),
            Taint::Strict => {
                require(all, mask, "an operand", here)?;
                Taken::default()
            }
            Taint::Bytes(results) => {
                let part = |(slot, bytes): &(Slot, Vec<_>)| {
                    let (lanes, bytes) = self.gather(bytes, mask);
                    (*slot, lanes, bytes)
                };
                Taken::parts(all.1, results.iter().map(part))
            }
            Taint::Select { a, b, p, negated } => {
                let chosen = values(*p, 1) ^ if *negated { u32::MAX } else { 0 };
                let (p, from_a, from_b) = (
                    self.undefined(*p).0,
                    self.undefined(*a).0 & chosen,
                    self.undefined(*b).0 & !chosen,
                );
                let bytes = self.bytes_behind(&[(*a, from_a), (*b, from_b)]);
                let bytes = if p & mask == 0 { bytes } else { u8::MAX };
                let result = |slot: &Slot| (*slot, p | from_a | from_b, bytes);
                Taken::parts(all.1, operands.writes.iter().map(result))
            }
            Taint::Absorbing {
                a,
                b,
                value,
                bytewise,
            } => {
                let decided = |src| values(src, *value) & !self.undefined(src).0;
                let lanes = all.0 & !decided(*a) & !decided(*b);
                let bytes = if *bytewise {
                    self.bytes_behind(&[(*a, lanes), (*b, lanes)])
                } else {
                    u8::MAX
                };
                let result = |slot: &Slot| (*slot, lanes, bytes);
                Taken::parts(all.1, operands.writes.iter().map(result))
            }
        })
    }

    /// The undefined bytes of those operands that some lane takes.
    fn bytes_behind(&self, sources: &[(Src, u32)]) -> u8 {
        let taken = sources.iter();
        taken.fold(0, |all, (src, lanes)| {
            all | self.undefined_bytes(*src, *lanes)
        })
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
