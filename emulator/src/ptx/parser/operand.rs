//! Operands of instructions, and constants.

use super::{Parser, Result};
use crate::ptx::ast::{Address, Operand};
use crate::ptx::lexer::Token;

impl Parser {
    pub(super) fn pair(&mut self) -> Result<Operand> {
        let first = self.operand()?;
        if self.accept('|') {
            return Ok(Operand::Pair(Box::new(first), Box::new(self.operand()?)));
        }
        Ok(first)
    }

    pub(super) fn operand(&mut self) -> Result<Operand> {
        match self.peek().clone() {
            Token::Symbol('{') => {
                self.advance();
                Ok(Operand::Vector(self.list('}')?))
            }
            Token::Symbol('(') => {
                self.advance();
                Ok(Operand::List(self.list(')')?))
            }
            Token::Symbol('[') => {
                self.advance();
                self.address()
            }
            Token::Symbol('!') => {
                self.advance();
                Ok(Operand::Not(self.word("a predicate")?))
            }
            Token::Symbol('-' | '+' | '~')
            | Token::Integer(_)
            | Token::Single(_)
            | Token::Double(_) => self.constant(),
            Token::Word(_) => self.name(),
            _ => self.unexpected("an operand"),
        }
    }

    fn list(&mut self, close: char) -> Result<Vec<Operand>> {
        let mut out = Vec::new();
        while !self.accept(close) {
            out.push(self.operand()?);
            if !self.accept(',') {
                self.expect(close)?;
                break;
            }
        }
        Ok(out)
    }

    fn constant(&mut self) -> Result<Operand> {
        let negative = self.accept('-');
        if let (true, Token::Word(_)) = (negative, self.peek()) {
            return self.dotted_name().map(Operand::Negative);
        }
        let complement = !negative && self.accept('~');
        self.accept('+');
        Ok(match self.peek().clone() {
            Token::Integer(v) => {
                self.advance();
                Operand::Integer(if negative {
                    v.wrapping_neg()
                } else {
                    v ^ if complement { !0 } else { 0 }
                })
            }
            Token::Single(v) => {
                self.advance();
                Operand::Single(v ^ (u32::from(negative) << 31))
            }
            Token::Double(v) => {
                self.advance();
                Operand::Double(v ^ (u64::from(negative) << 63))
            }
            _ => return self.unexpected("a number"),
        })
    }

    /// A name with its `.x` and its `+offset`.
    fn name(&mut self) -> Result<Operand> {
        let name = self.dotted_name()?;
        if name == "_" {
            return Ok(Operand::Sink);
        }
        match self.offset()? {
            0 => Ok(Operand::Name(name)),
            offset => Ok(Operand::Offset(name, offset)),
        }
    }

    fn dotted_name(&mut self) -> Result<String> {
        let mut name = self.word("a name")?;
        while let Token::Dot(part) = self.peek().clone() {
            self.advance();
            name = format!("{name}.{part}");
        }
        Ok(name)
    }

    /// `+4`, `-4`, `+-4`, any number of them.
    fn offset(&mut self) -> Result<i64> {
        let mut total = 0i64;
        while matches!(self.peek(), Token::Symbol('+' | '-')) {
            let mut negative = false;
            while let Token::Symbol(sign @ ('+' | '-')) = *self.peek() {
                negative ^= sign == '-';
                self.advance();
            }
            let value = self.integer("an offset")? as i64;
            total = total.wrapping_add(if negative {
                value.wrapping_neg()
            } else {
                value
            });
        }
        Ok(total)
    }

    fn address(&mut self) -> Result<Operand> {
        let (base, offset) = match self.operand()? {
            Operand::Offset(name, offset) => (Operand::Name(name), offset),
            other => (other, self.offset()?),
        };
        let mut extra = Vec::new();
        while self.accept(',') {
            extra.push(self.operand()?);
        }
        self.expect(']')?;
        Ok(Operand::Address(Box::new(Address {
            base,
            offset,
            extra,
        })))
    }
}
