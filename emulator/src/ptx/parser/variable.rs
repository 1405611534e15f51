//! Parameters and variables.

use super::{Parser, Result, SPACES};
use crate::ptx::ast::{Operand, Variable};
use crate::ptx::lexer::Token;
use crate::ptx::{Position, SyntaxError};

impl Parser {
    pub(super) fn parameter(&mut self) -> Result<Variable> {
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

    pub(super) fn variables(
        &mut self,
        space: &str,
        at: Position,
        external: bool,
    ) -> Result<Vec<Variable>> {
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
}
