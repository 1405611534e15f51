//! The form of one instruction while it is decoded: a strict reader of its modifiers and operands.
//!
//! Whatever a family does not take is an error when decoding ends, so that nothing is ignored by accident.

mod operand;

use std::cell::RefCell;

use super::types::{Ty, Value};
use super::{Op, Operands, Slot, Special, Src};
use crate::error::{LoadError, LoadErrorKind};
use crate::ptx::ast;

/// What names stand for at one place in a body.
pub(crate) trait Symbols {
    /// A register: slot and width in bits (1 for predicates).
    fn register(&self, name: &str) -> Option<(Slot, u32)>;
    /// The address of a variable in its own space.
    fn variable(&self, name: &str, offset: i64) -> Option<Src>;
    /// The slot of a special register, allocated at first use.
    fn special(&mut self, special: Special) -> Slot;
    /// The index of a label, as a forward reference.
    fn label(&mut self, name: &str) -> u32;
    /// The label behind the call whose body is being decoded, if any.
    fn return_label(&self) -> Option<u32>;
    /// The labels of a `.branchtargets` table.
    fn table(&self, name: &str) -> Option<Vec<String>>;
}

/// A destination register.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dst {
    pub slot: Slot,
    pub bits: u32,
}

/// An address operand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addr {
    pub base: Src,
    pub offset: i64,
    /// The base is a 32-bit register, so the sum has 32 bits as well.
    pub narrow: bool,
}

/// One instruction being decoded.
pub(crate) struct Form<'a> {
    written: &'a ast::Instruction,
    symbols: &'a mut dyn Symbols,
    modifier_taken: Vec<bool>,
    operand_taken: Vec<bool>,
    operands: RefCell<Operands>,
}

type Result<T> = std::result::Result<T, LoadError>;

impl<'a> Form<'a> {
    pub fn new(written: &'a ast::Instruction, symbols: &'a mut dyn Symbols) -> Self {
        let modifier_taken = vec![false; written.modifiers.len()];
        let operand_taken = vec![false; written.operands.len()];
        Form {
            written,
            symbols,
            modifier_taken,
            operand_taken,
            operands: RefCell::default(),
        }
    }

    pub fn opcode(&self) -> &'a str {
        &self.written.opcode
    }

    fn error(&self, kind: LoadErrorKind, why: impl Into<String>) -> LoadError {
        LoadError::at(
            self.written.at,
            kind,
            format!("{}: {}", self.written, why.into()),
        )
    }

    /// The emulator does not have this.
    pub fn unsupported(&self, why: impl Into<String>) -> LoadError {
        self.error(LoadErrorKind::Unsupported, why)
    }

    /// No PTX assembler would take this.
    pub fn invalid(&self, why: impl Into<String>) -> LoadError {
        self.error(LoadErrorKind::Invalid, why)
    }

    // ---- modifiers

    /// Takes a modifier if it is there.
    pub fn take(&mut self, name: &str) -> bool {
        self.choose(&[(name, ())]).is_some()
    }

    /// Takes the first modifier (in the order of the text) that is in the list.
    pub fn choose<T: Copy>(&mut self, choices: &[(&str, T)]) -> Option<T> {
        let modifiers = &self.written.modifiers;
        for (i, word) in modifiers.iter().enumerate() {
            if self.modifier_taken[i] {
                continue;
            }
            if let Some((_, value)) = choices.iter().find(|(name, _)| name == word) {
                self.modifier_taken[i] = true;
                return Some(*value);
            }
        }
        None
    }

    /// Takes one of the modifiers, which must be there.
    pub fn require<T: Copy>(&mut self, what: &str, choices: &[(&str, T)]) -> Result<T> {
        self.choose(choices).ok_or_else(|| {
            self.unsupported(format!("needs {what}, which is missing or not implemented"))
        })
    }

    /// Takes and drops the modifiers that only hint at performance.
    pub fn ignore(&mut self, hints: &[&str]) {
        for hint in hints {
            self.take(hint);
        }
    }

    /// Takes the next type modifier.
    pub fn ty(&mut self) -> Result<Ty> {
        self.optional_ty()
            .ok_or_else(|| self.unsupported("no type that is implemented"))
    }

    /// Takes the next type modifier, if any.
    pub fn optional_ty(&mut self) -> Option<Ty> {
        let modifiers = &self.written.modifiers;
        let found = (0..modifiers.len())
            .find(|&i| !self.modifier_taken[i] && Ty::parse(&modifiers[i]).is_some())?;
        self.modifier_taken[found] = true;
        Ty::parse(&modifiers[found])
    }

    /// Takes the first modifier for which `read` has an answer.
    pub fn take_map<T>(&mut self, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let modifiers = &self.written.modifiers;
        let (i, value) = (0..modifiers.len())
            .filter(|&i| !self.modifier_taken[i])
            .find_map(|i| Some((i, read(&modifiers[i])?)))?;
        self.modifier_taken[i] = true;
        Some(value)
    }

    fn note_read(&self, slot: Slot, bits: u32) {
        let slots = if bits == 128 {
            slot..slot + 2
        } else {
            slot..slot + 1
        };
        self.operands.borrow_mut().reads.extend(slots);
    }

    /// The registers that have been taken as operands.
    pub fn operands(&self) -> Operands {
        self.operands.borrow().clone()
    }

    /// All modifiers and operands must have been taken.
    pub fn finish(&self) -> Result<()> {
        if let Some(i) = self.modifier_taken.iter().position(|t| !t) {
            return Err(self.unsupported(format!(
                "modifier `.{}` is not implemented here",
                self.written.modifiers[i]
            )));
        }
        if let Some(i) = self.operand_taken.iter().position(|t| !t) {
            return Err(self.unsupported(format!("operand {} is not implemented here", i + 1)));
        }
        Ok(())
    }

    // ---- operands

    // ---- the common lane-wise forms: d, a / d, a, b / d, a, b, c

    pub fn map1<A: Value, R: Value>(
        &mut self,
        g: impl Fn(A) -> R + Send + Sync + 'static,
    ) -> Result<Op> {
        let (d, a) = (self.dst_as(0, R::TY)?, self.src(1, A::TY)?);
        Ok(super::lanes::map1(d, a, g))
    }

    pub fn map2<A: Value, B: Value, R: Value>(
        &mut self,
        g: impl Fn(A, B) -> R + Send + Sync + 'static,
    ) -> Result<Op> {
        let (d, a, b) = (
            self.dst_as(0, R::TY)?,
            self.src(1, A::TY)?,
            self.src(2, B::TY)?,
        );
        Ok(super::lanes::map2(d, a, b, g))
    }

    pub fn map3<A: Value, B: Value, C: Value, R: Value>(
        &mut self,
        g: impl Fn(A, B, C) -> R + Send + Sync + 'static,
    ) -> Result<Op> {
        let (d, a, b, c) = (
            self.dst_as(0, R::TY)?,
            self.src(1, A::TY)?,
            self.src(2, B::TY)?,
            self.src(3, C::TY)?,
        );
        Ok(super::lanes::map3(d, a, b, c, g))
    }
}
