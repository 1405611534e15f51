//! `.func`: device functions and their prototypes (PTX ISA, 5.7 and 7.1).

use super::{Parser, Result};
use crate::ptx::SyntaxError;
use crate::ptx::ast::{Function, Variable};
use crate::ptx::lexer::Token;

impl Parser {
    /// What follows `.func`: `(returns) name (parameters) directives`, and a body or `;`.
    pub(super) fn function(&mut self) -> Result<Function> {
        let returns = self.formals()?;
        let name = self.word("the name of the function")?;
        let params = self.formals()?;
        while let Token::Dot(directive) = self.peek().clone() {
            let at = self.at();
            self.advance();
            self.directive(directive, at)?;
        }
        let body = match self.accept(';') {
            true => None,
            false => {
                self.expect('{')?;
                Some(self.block()?)
            }
        };
        Ok(Function {
            name,
            returns,
            params,
            body,
        })
    }

    /// Parameters in parentheses, if there are any.
    pub(super) fn formals(&mut self) -> Result<Vec<Variable>> {
        let mut params = Vec::new();
        if self.accept('(') {
            while !self.accept(')') {
                if *self.peek() == Token::Dot("reg".into()) {
                    let message = "unsupported: `.reg` parameters of functions; use `.param`";
                    return Err(SyntaxError::new(self.at(), message));
                }
                params.push(self.parameter()?);
                self.accept(',');
            }
        }
        Ok(params)
    }
}
