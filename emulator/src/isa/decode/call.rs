//! `call`: the body of the function takes its place (PTX ISA, 9.7.12.5). There is no stack: recursion, calls through
//! registers and the addresses of parameters are refused.

use super::{Decoder, Instruction, LoadError, LoadErrorKind, Role, Scope, Taint, ast, control};
use crate::isa::{Op, Slot, Src};

/// Functions by name.
pub(crate) type Functions<'a> = std::collections::HashMap<&'a str, &'a ast::Function>;

/// Where parameters of calls begin in parameter space, far beyond any kernel parameter. They lie in local memory.
pub(crate) const CALL_PARAMS: u64 = 1 << 40;

/// The place in local memory of an address in parameter space, if it belongs to a call.
pub(crate) fn in_local_memory(address: u64) -> Option<u64> {
    (address >= CALL_PARAMS).then_some(address - CALL_PARAMS)
}

/// `call (returns), name, (arguments)`: every part but the name may be absent.
fn parts(written: &ast::Instruction) -> Option<(&[ast::Operand], &str, &[ast::Operand])> {
    use ast::Operand::{List, Name};
    match written.operands.as_slice() {
        [Name(name)] => Some((&[], name, &[])),
        [Name(name), List(arguments)] => Some((&[], name, arguments)),
        [List(returns), Name(name)] => Some((returns, name, &[])),
        [List(returns), Name(name), List(arguments)] => Some((returns, name, arguments)),
        _ => None,
    }
}

impl<'a> Decoder<'a> {
    pub(super) fn call(&mut self, written: &ast::Instruction) -> Result<(), LoadError> {
        let error = |kind, what: String| LoadError::at(written.at, kind, what);
        let unsupported = |what: String| error(LoadErrorKind::Unsupported, what);
        let (returns, name, arguments) = parts(written)
            .ok_or_else(|| unsupported("this form of call is not implemented".into()))?;
        if self.calls.iter().any(|caller| caller == name) {
            return Err(unsupported(format!("call: `{name}` calls itself")));
        }
        let Some(function) = self.functions.get(name).copied() else {
            let what = format!(
                "call: `{name}` is not a function; calls through registers are not implemented"
            );
            return Err(unsupported(what));
        };
        let guard = self.guard(written)?;
        let Some(body) = &function.body else {
            return self.external(written, guard, name);
        };
        let scope = self.bind(written, function, returns, arguments)?;
        let end = self.label_places.len() as u32;
        self.label_places.push(None);
        if let Some((slot, value)) = guard {
            self.emit(written, Some((slot, !value)), control::branch(end));
        }
        self.open(body);
        self.scope().variables.extend(scope.variables);
        self.calls.push(name.into());
        self.returns.push(end);
        self.statements(body)?;
        self.returns.pop();
        self.calls.pop();
        self.scopes.pop();
        self.label_places[end as usize] = Some(self.instructions.len() as u32);
        Ok(())
    }

    /// The names of the function's parameters, bound to the caller's variables.
    fn bind(
        &self,
        written: &ast::Instruction,
        function: &ast::Function,
        returns: &[ast::Operand],
        arguments: &[ast::Operand],
    ) -> Result<Scope, LoadError> {
        let invalid = |what: String| LoadError::at(written.at, LoadErrorKind::Invalid, what);
        let mut scope = Scope::default();
        for (formals, actuals) in [(&function.returns, returns), (&function.params, arguments)] {
            if formals.len() != actuals.len() {
                let (name, has, wants) = (&function.name, actuals.len(), formals.len());
                return Err(invalid(format!(
                    "call: `{name}` takes {wants} values, gets {has}"
                )));
            }
            for (formal, actual) in formals.iter().zip(actuals) {
                let place = match actual {
                    ast::Operand::Name(name) => super::Symbols::variable(self, name, 0),
                    _ => None,
                };
                match place {
                    Some(Src::Imm(address)) if in_local_memory(address).is_some() => {
                        scope
                            .variables
                            .insert(formal.name.clone(), Src::Imm(address));
                    }
                    _ => return Err(invalid("call: arguments must be .param variables".into())),
                }
            }
        }
        Ok(scope)
    }

    /// The functions that CUDA itself provides: text is not printed, a failed assertion stops the kernel.
    fn external(
        &mut self,
        written: &ast::Instruction,
        guard: Option<(Slot, bool)>,
        name: &str,
    ) -> Result<(), LoadError> {
        match name {
            "vprintf" => Ok(()),
            "__assertfail" => {
                self.emit(written, guard, control::trap());
                Ok(())
            }
            _ => {
                let what = format!("call: the external function `{name}` is not implemented");
                Err(LoadError::at(written.at, LoadErrorKind::Unsupported, what))
            }
        }
    }

    fn emit(&mut self, written: &ast::Instruction, guard: Option<(Slot, bool)>, op: Op) {
        self.instructions.push(Instruction {
            line: written.at.line,
            guard,
            op,
            operands: Default::default(),
            role: Role::Plain,
            taint: Taint::Lanewise,
        });
    }
}
