//! What names stand for while a body is decoded.

use super::Decoder;
use crate::isa::form::Symbols;
use crate::isa::{Slot, Special, Src};

fn add_offset(address: Src, offset: i64) -> Src {
    match address {
        Src::Imm(base) => Src::Imm(base.wrapping_add(offset as u64)),
        Src::Shared(base) => Src::Shared(base.wrapping_add(offset as u32)),
        Src::Dynamic(base) => Src::Dynamic(base.wrapping_add(offset as u32)),
        Src::Global(index, base) => Src::Global(index, base.wrapping_add(offset as u64)),
        Src::Reg(slot) => Src::Reg(slot),
    }
}

/// `%r12` as the base `%r` and the number 12.
fn split_number(name: &str) -> Option<(&str, u64)> {
    let digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (base, number) = name.split_at(name.len() - digits);
    let canonical = number == "0" || !number.starts_with('0');
    (digits > 0 && canonical)
        .then(|| number.parse().ok().map(|n| (base, n)))
        .flatten()
}

impl Symbols for Decoder<'_> {
    fn register(&self, name: &str) -> Option<(Slot, u32)> {
        let numbered = split_number(name);
        self.scopes.iter().rev().find_map(|scope| {
            let ranged = || {
                let (base, number) = numbered?;
                let (_, _, first, bits) = scope
                    .ranges
                    .iter()
                    .rev()
                    .find(|(b, count, ..)| b == base && number < *count)?;
                Some((
                    first + number as u32 * if *bits == 128 { 2 } else { 1 },
                    *bits,
                ))
            };
            scope.registers.get(name).copied().or_else(ranged)
        })
    }

    fn variable(&self, name: &str, offset: i64) -> Option<Src> {
        let local = self
            .scopes
            .iter()
            .rev()
            .find_map(|scope| scope.variables.get(name));
        local
            .or_else(|| self.outside.get(name))
            .map(|&address| add_offset(address, offset))
    }

    fn special(&mut self, special: Special) -> Slot {
        if let Some((_, slot)) = self.specials.iter().find(|(s, _)| *s == special) {
            return *slot;
        }
        let slot = self.registers;
        self.registers += 1;
        self.specials.push((special, slot));
        slot
    }

    fn label(&mut self, name: &str) -> u32 {
        match self
            .scopes
            .iter()
            .rev()
            .find_map(|scope| scope.labels.get(name))
        {
            Some(id) => *id,
            None => {
                let message = format!("label `{name}` is not declared in this scope");
                self.missing_label = Some(self.invalid(self.at, message));
                0
            }
        }
    }

    fn return_label(&self) -> Option<u32> {
        self.returns.last().copied()
    }

    fn table(&self, name: &str) -> Option<Vec<String>> {
        self.scopes
            .iter()
            .rev()
            .find_map(|scope| scope.tables.get(name).cloned())
    }
}
