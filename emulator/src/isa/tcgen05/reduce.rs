//! `tcgen05.ld.red`: a load that also gives each thread the least or greatest of what it has loaded (PTX ISA,
//! 9.7.16.8.3, tcgen05.ld with `.red`).

use crate::error::LoadError;
use crate::isa::Slot;
use crate::isa::float::{canonical, select_f32};
use crate::isa::form::Form;
use crate::isa::types::{Ty, Value};

/// The reduction of a load and the register that receives it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadReduction {
    pub slot: Slot,
    ty: Ty,
    min: bool,
    absolute: bool,
    /// NaN is passed on, instead of the other operand.
    nan: bool,
}

impl LoadReduction {
    /// Reads the modifiers and the second operand of an instruction whose `.red` has been taken.
    pub fn read(f: &mut Form<'_>) -> Result<Self, LoadError> {
        let min = f.require("`.min` or `.max`", &[("min", true), ("max", false)])?;
        let (absolute, nan) = (f.take("abs"), f.take("NaN"));
        let ty = f.ty()?;
        match ty {
            Ty::F32 => {}
            Ty::U32 | Ty::S32 if !absolute && !nan => {}
            _ => return Err(f.invalid("`.red` needs .f32, or .u32 or .s32 without more")),
        }
        let &[result] = f.dsts(1)?.as_slice() else {
            return Err(f.invalid("the reduction needs one register"));
        };
        Ok(LoadReduction {
            slot: result.slot,
            ty,
            min,
            absolute,
            nan,
        })
    }

    /// The reduction of the registers of each thread.
    pub fn apply(&self, registers: &[u32]) -> [u64; 32] {
        std::array::from_fn(|lane| {
            let values = registers.iter().skip(lane).step_by(32);
            let values = values.map(|v| self.magnitude(*v));
            values.reduce(|a, b| self.pick(a, b)).unwrap_or(0).into()
        })
    }

    fn magnitude(&self, value: u32) -> u32 {
        if self.absolute {
            value & 0x7FFF_FFFF
        } else {
            value
        }
    }

    fn pick(&self, a: u32, b: u32) -> u32 {
        let first = match self.ty {
            Ty::F32 => {
                let (a, b) = (f32::from_bits(a), f32::from_bits(b));
                return canonical(select_f32(a, b, self.min, self.nan)).word() as u32;
            }
            Ty::S32 => (a as i32) < b as i32,
            _ => a < b,
        };
        if first == self.min { a } else { b }
    }
}
