//! Video instructions of two halves or four bytes: `vadd2`, `vsub2`, `vavrg2`, `vabsdiff2`, `vmin2`, `vmax2`, `vset2` and
//! those with 4 (PTX ISA, 9.7.18.2).

use super::{Decoded, comparison, extend, saturate, signedness, split};
use crate::error::LoadError;
use crate::isa::form::Form;
use crate::isa::lanes;
use crate::isa::types::Ty;

/// Two halves or four bytes.
#[derive(Clone, Copy, PartialEq)]
enum Elements {
    Halves,
    Bytes,
}

impl Elements {
    fn count(self) -> usize {
        if self == Elements::Halves { 2 } else { 4 }
    }

    fn bits(self) -> u32 {
        if self == Elements::Halves { 16 } else { 8 }
    }

    /// `h10` or `b3210`: the numbers behind the letter, the lowest first.
    fn numbers(self, word: &str) -> Option<Vec<usize>> {
        let letter = if self == Elements::Halves { 'h' } else { 'b' };
        let digits = word.strip_prefix(letter)?.chars().rev();
        digits.map(|c| Some(c.to_digit(10)? as usize)).collect()
    }

    /// A selection from the elements of a and, behind them, of b.
    fn selection(
        self,
        f: &Form<'_>,
        word: Option<&str>,
        first: usize,
    ) -> Result<Vec<usize>, LoadError> {
        let Some(word) = word else {
            return Ok((first..first + self.count()).collect());
        };
        self.numbers(word)
            .filter(|n| n.len() == self.count() && n.iter().all(|&i| i < 2 * self.count()))
            .ok_or_else(|| f.invalid(format!("`.{word}` selects no elements")))
    }

    /// Which elements are computed.
    fn mask(self, f: &Form<'_>, word: Option<&str>) -> Result<Vec<bool>, LoadError> {
        let Some(word) = word else {
            return Ok(vec![true; self.count()]);
        };
        let numbers = self
            .numbers(word)
            .filter(|n| n.iter().all(|&i| i < self.count()))
            .ok_or_else(|| f.invalid(format!("`.{word}` is no mask")))?;
        Ok((0..self.count()).map(|i| numbers.contains(&i)).collect())
    }
}

/// `vop2.dtype.atype.btype{.sat}{.add} d{.mask}, a{.asel}, b{.bsel}, c`.
pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    let (name, elements) = match f.opcode().split_at_checked(f.opcode().len() - 1) {
        Some((name, "2")) => (name, Elements::Halves),
        Some((name, "4")) => (name, Elements::Bytes),
        _ => return Err(f.unsupported("unknown instruction")),
    };
    let compares = name == "vset";
    let signed_d = !compares && signedness(f)?;
    let (signed_a, signed_b) = (signedness(f)?, signedness(f)?);
    let compute = operation(f, name)?;
    let (sat, adds) = (f.take("sat"), f.take("add"));
    if sat && (adds || compares) {
        return Err(f.invalid("`.sat` is not for sums or comparisons"));
    }
    let (plain, word) = split(f.operand(0)?);
    let (d, mask) = (f.dst_of(&plain)?, elements.mask(f, word)?);
    let (plain, word) = split(f.operand(1)?);
    let (a, select_a) = (f.src_of(&plain, Ty::B32)?, elements.selection(f, word, 0)?);
    let (plain, word) = split(f.operand(2)?);
    let select_b = elements.selection(f, word, elements.count())?;
    let (b, c) = (f.src_of(&plain, Ty::B32)?, f.src(3, Ty::B32)?);
    let bits = elements.bits();
    let combine = move |a: u32, b: u32, c: u32| {
        let both = u64::from(b) << 32 | u64::from(a);
        let pick = |index: usize, signed| extend(both >> (index as u32 * bits), bits, signed);
        let mut result = c;
        for i in (0..mask.len()).filter(|&i| mask[i]) {
            let value = compute(pick(select_a[i], signed_a), pick(select_b[i], signed_b));
            if adds {
                result = result.wrapping_add(value as u32);
                continue;
            }
            let value = if sat {
                saturate(value, bits, signed_d)
            } else {
                value
            };
            let (shift, ones) = (i as u32 * bits, u32::MAX >> (32 - bits));
            result = result & !(ones << shift) | (value as u32 & ones) << shift;
        }
        result
    };
    Ok(lanes::map3(d, a, b, c, combine))
}

fn operation(f: &mut Form<'_>, name: &str) -> Result<super::Operation, LoadError> {
    Ok(match name {
        "vadd" => Box::new(|a, b| a + b),
        "vsub" => Box::new(|a, b| a - b),
        "vabsdiff" => Box::new(|a, b| (a - b).abs()),
        "vmin" => Box::new(i128::min),
        "vmax" => Box::new(i128::max),
        // Halves round away from zero.
        "vavrg" => Box::new(|a, b| (a + b + i128::from(a + b >= 0)) >> 1),
        "vset" => {
            let holds = comparison(f)?;
            Box::new(move |a, b| holds(a, b).into())
        }
        _ => return Err(f.unsupported("unknown instruction")),
    })
}
