//! Tokens to [`Unit`]: a recursive descent over the structure of PTX (PTX ISA, chapters 4 and 5).

mod function;

use super::ast::{
    Address, Directive, Entry, Guard, Instruction, Operand, Registers, Statement, Unit, Variable,
};
use super::lexer::{Spanned, Token, tokens};
use super::{Position, SyntaxError};

type Result<T> = std::result::Result<T, SyntaxError>;

const SPACES: [&str; 5] = ["const", "global", "shared", "local", "param"];

/// Parses a whole module.
pub(crate) fn parse(text: &str) -> Result<Unit> {
    Parser {
        tokens: tokens(text)?,
        next: 0,
    }
    .unit()
}

struct Parser {
    tokens: Vec<Spanned>,
    next: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.next].token
    }

    fn peek_after(&self) -> &Token {
        &self.tokens[(self.next + 1).min(self.tokens.len() - 1)].token
    }

    fn at(&self) -> Position {
        self.tokens[self.next].at
    }

    fn advance(&mut self) -> Token {
        let token = self.tokens[self.next].token.clone();
        if self.next + 1 < self.tokens.len() {
            self.next += 1;
        }
        token
    }

    fn unexpected<T>(&self, wanted: &str) -> Result<T> {
        let found = match self.peek() {
            Token::Word(w) => format!("`{w}`"),
            Token::Dot(w) => format!("`.{w}`"),
            Token::Symbol(c) => format!("`{c}`"),
            Token::End => "the end of the text".into(),
            Token::Text(_) => "text in quotes".into(),
            Token::Integer(_) | Token::Single(_) | Token::Double(_) => "a number".into(),
        };
        Err(SyntaxError::new(
            self.at(),
            format!("expected {wanted}, found {found}"),
        ))
    }

    fn accept(&mut self, symbol: char) -> bool {
        let hit = *self.peek() == Token::Symbol(symbol);
        if hit {
            self.advance();
        }
        hit
    }

    fn expect(&mut self, symbol: char) -> Result<()> {
        if self.accept(symbol) {
            Ok(())
        } else {
            self.unexpected(&format!("`{symbol}`"))
        }
    }

    fn word(&mut self, what: &str) -> Result<String> {
        match self.peek().clone() {
            Token::Word(word) => {
                self.advance();
                Ok(word)
            }
            _ => self.unexpected(what),
        }
    }

    fn dot(&mut self, what: &str) -> Result<String> {
        match self.peek().clone() {
            Token::Dot(word) => {
                self.advance();
                Ok(word)
            }
            _ => self.unexpected(what),
        }
    }

    fn integer(&mut self, what: &str) -> Result<u64> {
        match *self.peek() {
            Token::Integer(value) => {
                self.advance();
                Ok(value)
            }
            _ => self.unexpected(what),
        }
    }

    fn unit(mut self) -> Result<Unit> {
        let mut unit = Unit::default();
        loop {
            let at = self.at();
            match self.advance() {
                Token::End => return Ok(unit),
                Token::Symbol(';') => {}
                Token::Dot(directive) => self.top_level(&mut unit, &directive, at)?,
                _ => {
                    return Err(SyntaxError::new(
                        at,
                        "expected a directive such as `.entry` or `.global`",
                    ));
                }
            }
        }
    }

    fn top_level(&mut self, unit: &mut Unit, directive: &str, at: Position) -> Result<()> {
        match directive {
            "version" => unit.version = self.version()?,
            "target" => unit.target = self.target()?,
            "address_size" => {
                if self.integer("32 or 64")? != 64 {
                    return Err(SyntaxError::new(
                        at,
                        "only `.address_size 64` exists on these targets",
                    ));
                }
            }
            "visible" | "weak" | "common" => {}
            "extern" => {
                let space = self.dot("a state space")?;
                if space == "func" {
                    unit.functions.push(self.function()?);
                    return Ok(());
                }
                let declared = self.variables(&space, at, true)?;
                unit.variables.extend(declared);
            }
            "entry" => unit.entries.push(self.entry()?),
            "func" => unit.functions.push(self.function()?),
            "alias" | "callprototype" => {
                return Err(SyntaxError::new(
                    at,
                    format!("unsupported: .{directive} is not implemented"),
                ));
            }
            "file" => self.skip_line(at),
            "section" => self.skip_braces()?,
            "pragma" => {
                while !self.accept(';') {
                    self.advance();
                }
            }
            space if SPACES.contains(&space) => {
                let declared = self.variables(space, at, false)?;
                unit.variables.extend(declared);
            }
            other => {
                return Err(SyntaxError::new(
                    at,
                    format!("unknown directive `.{other}`"),
                ));
            }
        }
        Ok(())
    }

    /// A version arrives as a decimal literal. No ISA has had a minor version above 9.
    fn version(&mut self) -> Result<(u32, u32)> {
        match *self.peek() {
            Token::Double(bits) => {
                self.advance();
                let text = format!("{}", f64::from_bits(bits));
                let (major, minor) = text.split_once('.').unwrap_or((&text, "0"));
                Ok((major.parse().unwrap_or(0), minor.parse().unwrap_or(0)))
            }
            _ => self.unexpected("a version such as 8.7"),
        }
    }

    fn target(&mut self) -> Result<String> {
        let target = self.word("a target such as sm_100a")?;
        while self.accept(',') {
            self.word("a target option")?;
        }
        Ok(target)
    }

    /// `.file` and `.loc` have no terminator but the end of their line.
    fn skip_line(&mut self, at: Position) {
        while self.at().line == at.line && *self.peek() != Token::End {
            self.advance();
        }
    }

    fn skip_braces(&mut self) -> Result<()> {
        while !self.accept('{') {
            if *self.peek() == Token::End {
                return self.unexpected("`{`");
            }
            self.advance();
        }
        let mut depth = 1;
        while depth > 0 {
            match self.advance() {
                Token::Symbol('{') => depth += 1,
                Token::Symbol('}') => depth -= 1,
                Token::End => return self.unexpected("`}`"),
                _ => {}
            }
        }
        Ok(())
    }

    fn entry(&mut self) -> Result<Entry> {
        let name = self.word("the name of the entry")?;
        let params = self.formals()?;
        let mut directives = Vec::new();
        while let Token::Dot(directive) = self.peek().clone() {
            let at = self.at();
            self.advance();
            directives.push(self.directive(directive, at)?);
        }
        self.expect('{')?;
        let body = self.block()?;
        Ok(Entry {
            name,
            params,
            directives,
            body,
        })
    }

    fn directive(&mut self, name: String, at: Position) -> Result<Directive> {
        let mut values = Vec::new();
        if name == "pragma" {
            while !self.accept(';') {
                self.advance();
            }
        } else {
            while let Token::Integer(value) = *self.peek() {
                self.advance();
                values.push(value);
                self.accept(',');
            }
        }
        Ok(Directive { at, name, values })
    }

    fn parameter(&mut self) -> Result<Variable> {
        let at = self.at();
        if self.dot("`.param`")? != "param" {
            return Err(SyntaxError::new(at, "expected `.param`"));
        }
        let (mut align, mut ty, mut pointer) = (None, String::new(), false);
        while let Token::Dot(word) = self.peek().clone() {
            self.advance();
            match word.as_str() {
                "align" if pointer => {
                    self.integer("an alignment")?;
                }
                "align" => align = Some(self.integer("an alignment")?),
                "ptr" => pointer = true,
                space if pointer && SPACES.contains(&space) => {}
                _ => ty = word,
            }
        }
        let name = self.word("the name of the parameter")?;
        let count = self.dimensions()?;
        let space = "param".into();
        Ok(Variable {
            at,
            space,
            ty,
            vector: 1,
            align,
            name,
            count,
            external: false,
            init: Vec::new(),
        })
    }

    /// `[4][8]` to `Some(32)`, nothing to `Some(1)`, `[]` to `None`.
    fn dimensions(&mut self) -> Result<Option<u64>> {
        let mut count = Some(1u64);
        while self.accept('[') {
            if self.accept(']') {
                count = None;
                continue;
            }
            let at = self.at();
            let length = self.integer("an array length")?;
            count = match count.map(|c| c.checked_mul(length)) {
                Some(None) => return Err(SyntaxError::new(at, "the array is too large")),
                other => other.flatten(),
            };
            self.expect(']')?;
        }
        Ok(count)
    }

    fn variables(&mut self, space: &str, at: Position, external: bool) -> Result<Vec<Variable>> {
        let (mut align, mut ty, mut vector) = (None, String::new(), 1);
        while let Token::Dot(word) = self.peek().clone() {
            self.advance();
            match word.as_str() {
                "align" => align = Some(self.integer("an alignment")?),
                "v2" => vector = 2,
                "v4" => vector = 4,
                _ => ty = word,
            }
        }
        let mut out = Vec::new();
        loop {
            let name = self.word("the name of the variable")?;
            let mut count = self.dimensions()?;
            let mut init = Vec::new();
            if self.accept('=') {
                self.initialiser(&mut init)?;
                count = count.or(Some(init.len() as u64));
            }
            out.push(Variable {
                at,
                space: space.into(),
                ty: ty.clone(),
                vector,
                align,
                name,
                count,
                external,
                init,
            });
            if !self.accept(',') {
                break;
            }
        }
        self.expect(';')?;
        Ok(out)
    }

    fn initialiser(&mut self, out: &mut Vec<Operand>) -> Result<()> {
        if !self.accept('{') {
            out.push(self.operand()?);
            return Ok(());
        }
        while !self.accept('}') {
            self.initialiser(out)?;
            self.accept(',');
        }
        Ok(())
    }

    /// Statements up to and including the closing brace.
    fn block(&mut self) -> Result<Vec<Statement>> {
        let mut out = Vec::new();
        loop {
            let at = self.at();
            match self.peek().clone() {
                Token::Symbol('}') => {
                    self.advance();
                    return Ok(out);
                }
                Token::Symbol('{') => {
                    self.advance();
                    out.push(Statement::Block(self.block()?));
                }
                Token::Symbol(';') => {
                    self.advance();
                }
                Token::Dot(directive) => {
                    self.advance();
                    self.body_directive(&directive, at, &mut out)?;
                }
                Token::Word(name) if *self.peek_after() == Token::Symbol(':') => {
                    self.advance();
                    self.advance();
                    out.push(self.label(at, name)?);
                }
                Token::Symbol('@') | Token::Word(_) => {
                    out.push(Statement::Instruction(self.instruction(at)?))
                }
                _ => return self.unexpected("a statement or `}`"),
            }
        }
    }

    fn label(&mut self, at: Position, name: String) -> Result<Statement> {
        if *self.peek() != Token::Dot("branchtargets".into()) {
            return Ok(Statement::Label(at, name));
        }
        self.advance();
        let mut targets = vec![self.word("a label")?];
        while self.accept(',') {
            targets.push(self.word("a label")?);
        }
        self.expect(';')?;
        Ok(Statement::BranchTargets(name, targets))
    }

    fn body_directive(
        &mut self,
        directive: &str,
        at: Position,
        out: &mut Vec<Statement>,
    ) -> Result<()> {
        match directive {
            "reg" => self.registers(at, out),
            "loc" => {
                self.skip_line(at);
                Ok(())
            }
            "pragma" => {
                while !self.accept(';') {
                    if *self.peek() == Token::End {
                        return self.unexpected("`;`");
                    }
                    self.advance();
                }
                Ok(())
            }
            space if SPACES.contains(&space) => {
                out.extend(
                    self.variables(space, at, false)?
                        .into_iter()
                        .map(Statement::Variable),
                );
                Ok(())
            }
            other => Err(SyntaxError::new(
                at,
                format!("unknown directive `.{other}` in a body"),
            )),
        }
    }

    fn registers(&mut self, at: Position, out: &mut Vec<Statement>) -> Result<()> {
        let mut ty = self.dot("a register type")?;
        while let Token::Dot(more) = self.peek().clone() {
            self.advance();
            ty = format!("{ty}.{more}");
        }
        loop {
            let name = self.word("the name of a register")?;
            let mut range = None;
            if self.accept('<') {
                range = Some(self.integer("the number of registers")?);
                self.expect('>')?;
            }
            out.push(Statement::Registers(Registers {
                at,
                ty: ty.clone(),
                name,
                range,
            }));
            if !self.accept(',') {
                break;
            }
        }
        self.expect(';')
    }

    fn instruction(&mut self, at: Position) -> Result<Instruction> {
        let mut guard = None;
        if self.accept('@') {
            let negated = self.accept('!');
            guard = Some(Guard {
                negated,
                name: self.word("a predicate")?,
            });
        }
        let opcode = self.word("an instruction")?;
        let mut modifiers = Vec::new();
        while let Token::Dot(word) = self.peek().clone() {
            self.advance();
            modifiers.push(word);
        }
        let mut operands = Vec::new();
        if *self.peek() != Token::Symbol(';') {
            operands.push(self.pair()?);
            while self.accept(',') {
                operands.push(self.pair()?);
            }
        }
        self.expect(';')?;
        Ok(Instruction {
            at,
            guard,
            opcode,
            modifiers,
            operands,
        })
    }

    fn pair(&mut self) -> Result<Operand> {
        let first = self.operand()?;
        if self.accept('|') {
            return Ok(Operand::Pair(Box::new(first), Box::new(self.operand()?)));
        }
        Ok(first)
    }

    fn operand(&mut self) -> Result<Operand> {
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
        let mut name = self.word("a name")?;
        if name == "_" {
            return Ok(Operand::Sink);
        }
        while let Token::Dot(part) = self.peek().clone() {
            self.advance();
            name = format!("{name}.{part}");
        }
        match self.offset()? {
            0 => Ok(Operand::Name(name)),
            offset => Ok(Operand::Offset(name, offset)),
        }
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

#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;
