//! Tokens to [`Unit`]: a recursive descent over the structure of PTX (PTX ISA, chapters 4 and 5).

mod function;
mod operand;
mod variable;

use super::ast::{Directive, Entry, Guard, Instruction, Registers, Statement, Unit};
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
}

#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;
