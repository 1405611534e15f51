//! The operands of an instruction.

use super::{Addr, Dst, Form, Result};
use crate::isa::types::{Ty, Value, truncate};
use crate::isa::{SINK, Slot, Special, Src};
use crate::ptx::ast;

impl<'a> Form<'a> {
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
            (ast::Operand::Name(_), Src::Imm(v))
                if crate::isa::decode::in_local_memory(v).is_some() =>
            {
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

    /// True if the operand is in braces.
    pub fn is_vector(&self, i: usize) -> bool {
        matches!(self.written.operands.get(i), Some(ast::Operand::Vector(_)))
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
