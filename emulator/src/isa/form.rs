//! The form of one instruction while it is decoded: a strict reader of its modifiers and operands.
//!
//! Whatever a family does not take is an error when decoding ends, so that nothing is ignored by accident.

use std::cell::RefCell;

use super::types::{Ty, Value, truncate};
use super::{Op, Operands, SINK, Slot, Special, Src};
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

    /// Number of operands as written.
    pub fn count(&self) -> usize {
        self.written.operands.len()
    }

    /// The operand itself.
    pub fn operand(&mut self, i: usize) -> Result<&'a ast::Operand> {
        let operand = self
            .written
            .operands
            .get(i)
            .ok_or_else(|| self.invalid(format!("operand {} is missing", i + 1)))?;
        self.operand_taken[i] = true;
        Ok(operand)
    }

    pub fn register(&self, name: &str) -> Result<(Slot, u32)> {
        self.symbols
            .register(name)
            .ok_or_else(|| self.invalid(format!("`{name}` is not a register")))
    }

    pub fn dst_of(&self, operand: &ast::Operand) -> Result<Dst> {
        match operand {
            ast::Operand::Sink => Ok(Dst {
                slot: SINK,
                bits: 64,
            }),
            ast::Operand::Name(name) => {
                let (slot, bits) = self.register(name)?;
                let slots = if bits == 128 {
                    slot..slot + 2
                } else {
                    slot..slot + 1
                };
                self.operands.borrow_mut().writes.extend(slots);
                Ok(Dst { slot, bits })
            }
            _ => Err(self.invalid("the destination must be a register")),
        }
    }

    pub fn src_of(&mut self, operand: &ast::Operand, ty: Ty) -> Result<Src> {
        Ok(match operand {
            ast::Operand::Integer(v) if ty.is_float() => {
                return Err(self.invalid(format!(
                    "{} is an integer where a floating-point value is needed",
                    *v as i64
                )));
            }
            ast::Operand::Integer(v) => Src::Imm(if ty == Ty::Pred {
                u64::from(*v != 0)
            } else {
                truncate(*v, ty.bits())
            }),
            ast::Operand::Single(bits) => {
                Src::Imm(constant(f64::from(f32::from_bits(*bits)), Some(*bits), ty))
            }
            ast::Operand::Double(bits) if matches!(ty, Ty::F64 | Ty::B64) => Src::Imm(*bits),
            ast::Operand::Double(bits) => Src::Imm(constant(f64::from_bits(*bits), None, ty)),
            ast::Operand::Name(name) => {
                self.check_width(name, ty)?;
                self.named(name, 0)?
            }
            ast::Operand::Offset(name, offset) => self.named(name, *offset)?,
            ast::Operand::Sink => return Err(self.invalid("`_` cannot be read")),
            _ => return Err(self.unsupported("this form of operand is not implemented")),
        })
    }

    /// A register must hold the type; wider ones are allowed where PTX allows them (ld, st, cvt) and elsewhere harmless.
    fn check_width(&self, name: &str, ty: Ty) -> Result<()> {
        match self.symbols.register(name) {
            Some((_, bits)) => self.check_bits(name, bits, ty),
            None => Ok(()),
        }
    }

    fn check_bits(&self, name: &str, bits: u32, ty: Ty) -> Result<()> {
        if (bits == 1) != (ty == Ty::Pred) || bits < ty.bits() {
            let message = format!(
                "register `{name}` has {bits} bits where {} are needed",
                ty.bits()
            );
            return Err(self.invalid(message));
        }
        Ok(())
    }

    /// A destination that holds the type.
    pub fn dst_as(&mut self, i: usize, ty: Ty) -> Result<Dst> {
        let d = self.dst(i)?;
        if d.slot != SINK {
            self.check_bits(&format!("operand {}", i + 1), d.bits, ty)?;
        }
        Ok(d)
    }

    fn named(&mut self, name: &str, offset: i64) -> Result<Src> {
        if let (Some((slot, bits)), 0) = (self.symbols.register(name), offset) {
            self.note_read(slot, bits);
            return Ok(Src::Reg(slot));
        }
        if let Some(value) = self.symbols.variable(name, offset) {
            return Ok(value);
        }
        if let Some(special) = Special::parse(name) {
            return Ok(match special.constant() {
                Some(value) => Src::Imm(value),
                None => Src::Reg(self.symbols.special(special)),
            });
        }
        let special = ["%envreg", "%reserved_smem", "%pm", "%ctaid_", "%nctaid_"];
        if special.iter().any(|prefix| name.starts_with(prefix)) {
            return Err(self.unsupported(format!("`{name}` is not implemented")));
        }
        Err(self.invalid(format!("`{name}` is not declared")))
    }

    pub fn dst(&mut self, i: usize) -> Result<Dst> {
        let operand = self.operand(i)?;
        self.dst_of(operand)
    }

    pub fn src(&mut self, i: usize, ty: Ty) -> Result<Src> {
        let operand = self.operand(i)?;
        let src = self.src_of(operand, ty)?;
        match (operand, src) {
            (ast::Operand::Name(_), Src::Imm(v)) if super::decode::in_local_memory(v).is_some() => {
                Err(self.unsupported("the address of a parameter of a call is not implemented"))
            }
            _ => Ok(src),
        }
    }

    /// A predicate source: register, `!register` or constant; with what it must be xored.
    pub fn pred(&mut self, i: usize) -> Result<(Src, bool)> {
        match self.operand(i)? {
            ast::Operand::Not(name) => {
                let (slot, bits) = self.register(name)?;
                self.note_read(slot, bits);
                Ok((Src::Reg(slot), true))
            }
            other => Ok((self.src_of(other, Ty::Pred)?, false)),
        }
    }

    /// `a|b` destinations; the second is absent if written alone.
    pub fn pair(&mut self, i: usize) -> Result<(Dst, Option<Dst>)> {
        match self.operand(i)? {
            ast::Operand::Pair(a, b) => Ok((self.dst_of(a)?, Some(self.dst_of(b)?))),
            single => Ok((self.dst_of(single)?, None)),
        }
    }

    /// A vector of destinations, or one.
    pub fn dsts(&mut self, i: usize) -> Result<Vec<Dst>> {
        match self.operand(i)? {
            ast::Operand::Vector(items) => items.iter().map(|item| self.dst_of(item)).collect(),
            single => Ok(vec![self.dst_of(single)?]),
        }
    }

    /// A vector of sources, or one.
    pub fn srcs(&mut self, i: usize, ty: Ty) -> Result<Vec<Src>> {
        match self.operand(i)? {
            ast::Operand::Vector(items) => items.iter().map(|item| self.src_of(item, ty)).collect(),
            single => Ok(vec![self.src_of(single, ty)?]),
        }
    }

    /// An integer constant.
    pub fn immediate(&mut self, i: usize) -> Result<u64> {
        match self.operand(i)? {
            ast::Operand::Integer(value) => Ok(*value),
            _ => Err(self.invalid(format!("operand {} must be an integer constant", i + 1))),
        }
    }

    /// `[base+offset]` and nothing more.
    pub fn addr(&mut self, i: usize) -> Result<Addr> {
        let (addr, extra) = self.addr_with(i)?;
        if extra.is_empty() {
            Ok(addr)
        } else {
            Err(self.invalid("the address has too many parts"))
        }
    }

    /// `[base+offset, extra..]`.
    pub fn addr_with(&mut self, i: usize) -> Result<(Addr, &'a [ast::Operand])> {
        let ast::Operand::Address(address) = self.operand(i)? else {
            return Err(self.invalid(format!("operand {} must be an address in brackets", i + 1)));
        };
        // Addresses of shared, local and parameter memory may be 32-bit registers.
        let wide = match &address.base {
            ast::Operand::Name(name) => self
                .symbols
                .register(name)
                .is_none_or(|(_, bits)| bits == 64),
            _ => true,
        };
        let base = self.src_of(&address.base, if wide { Ty::B64 } else { Ty::B32 })?;
        if let Src::Reg(_) = base {
            let mut operands = self.operands.borrow_mut();
            let slot = operands.reads.pop();
            operands.addresses.extend(slot);
        }
        Ok((
            Addr {
                base,
                offset: address.offset,
                narrow: !wide,
            },
            &address.extra,
        ))
    }

    /// The label in an operand.
    pub fn label(&mut self, i: usize) -> Result<u32> {
        match self.operand(i)? {
            ast::Operand::Name(name) => Ok(self.symbols.label(name)),
            _ => Err(self.invalid("the target must be a label")),
        }
    }

    /// The register of a special value.
    pub fn special(&mut self, special: Special) -> Slot {
        self.symbols.special(special)
    }

    /// Where `ret` leads; none if it ends the thread.
    pub fn return_label(&self) -> Option<u32> {
        self.symbols.return_label()
    }

    /// The labels of the table named by an operand.
    pub fn label_table(&mut self, i: usize) -> Result<Vec<u32>> {
        let ast::Operand::Name(name) = self.operand(i)? else {
            return Err(self.invalid("the targets must be a label of `.branchtargets`"));
        };
        let table = self
            .symbols
            .table(name)
            .ok_or_else(|| self.invalid(format!("`{name}` is not a label of `.branchtargets`")))?;
        Ok(table
            .iter()
            .map(|label| self.symbols.label(label))
            .collect())
    }

    /// True if the operand is `_`.
    pub fn is_sink(&self, i: usize) -> bool {
        matches!(self.written.operands.get(i), Some(ast::Operand::Sink))
    }

    /// True if the operand is in brackets.
    pub fn is_address(&self, i: usize) -> bool {
        matches!(self.written.operands.get(i), Some(ast::Operand::Address(_)))
    }

    /// True if the operand is in braces.
    /// True if the operand is a predicate register.
    pub fn is_predicate(&self, i: usize) -> bool {
        match self.written.operands.get(i) {
            Some(ast::Operand::Not(_)) => true,
            Some(ast::Operand::Name(name)) => {
                matches!(self.symbols.register(name), Some((_, 1)))
            }
            _ => false,
        }
    }

    pub fn is_vector(&self, i: usize) -> bool {
        matches!(self.written.operands.get(i), Some(ast::Operand::Vector(_)))
    }

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

/// A floating-point constant in the type of its place (PTX ISA, 4.5.2).
fn constant(value: f64, single_bits: Option<u32>, ty: Ty) -> u64 {
    match ty {
        Ty::F64 => value.to_bits(),
        Ty::F16 => half::f16::from_f64(value).word(),
        Ty::Bf16 => half::bf16::from_f64(value).word(),
        _ => u64::from(single_bits.unwrap_or((value as f32).to_bits())),
    }
}
