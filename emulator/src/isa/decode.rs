//! An entry's body to flat code: scopes resolved, registers numbered, variables placed, labels turned into indices.

mod call;
mod symbols;

use std::collections::HashMap;

use super::form::{Form, Symbols};
use super::types::Ty;
use super::{Instruction, Op, Role, SINK, Slot, Special, Src, Taint, control, decode_instruction};
use crate::error::{LoadError, LoadErrorKind};
use crate::ptx::ast::Statement;
use crate::ptx::{Position, ast};

pub(crate) use call::{CALL_PARAMS, Functions, in_local_memory};

/// The first offset of static shared memory: 1 KiB is reserved (brief, 4.2).
pub(crate) const STATIC_SHARED: u32 = 0x400;

/// Bytes that a thread can allocate while it runs, if it does at all: what the driver gives by default.
pub(super) const STACK: u32 = 1024;

/// Decoded code and what it needs.
pub(crate) struct Code {
    pub instructions: Vec<Instruction>,
    /// Register slots, 32 lanes each.
    pub registers: usize,
    /// Special registers to fill when a warp starts.
    pub specials: Vec<(Special, Slot)>,
    /// First offset behind static shared memory.
    pub shared_end: u32,
    /// Bytes of local memory per thread.
    pub local_bytes: u32,
    /// Where those begin that are allocated while it runs.
    pub stack_base: u32,
    /// Clusters may wait for each other through global memory.
    pub couples_clusters: bool,
    /// Clusters may be kept from starting by others.
    pub cancels_clusters: bool,
    /// There is a wgmma.
    pub uses_warpgroups: bool,
}

/// Addresses of what is declared outside the entry.
pub(crate) type Outside = HashMap<String, Src>;

#[derive(Default)]
struct Scope {
    registers: HashMap<String, (Slot, u32)>,
    ranges: Vec<(String, u64, Slot, u32)>,
    variables: HashMap<String, Src>,
    labels: HashMap<String, u32>,
    tables: HashMap<String, Vec<String>>,
}

/// Decodes `body`. `outside` maps names of parameters and module variables; `shared` are the module's shared variables.
pub(crate) fn decode_entry(
    body: &[Statement],
    outside: &Outside,
    shared: &[&ast::Variable],
    functions: &Functions<'_>,
) -> Result<Code, LoadError> {
    let mut decoder = Decoder::new(outside, functions);
    decoder.open(body);
    for variable in shared {
        decoder.place_shared(variable)?;
    }
    decoder.statements(body)?;
    decoder.finish()
}

struct Decoder<'a> {
    outside: &'a Outside,
    functions: &'a Functions<'a>,
    /// Names of the functions whose bodies are being decoded, outermost first.
    calls: Vec<String>,
    /// Where each of them returns to.
    returns: Vec<u32>,
    scopes: Vec<Scope>,
    registers: Slot,
    specials: Vec<(Special, Slot)>,
    shared_end: u32,
    local_bytes: u32,
    /// For each label id its instruction, once seen.
    label_places: Vec<Option<u32>>,
    label_names: Vec<(String, Position)>,
    instructions: Vec<Instruction>,
    at: Position,
    missing_label: Option<LoadError>,
    /// Constants that were moved into registers.
    moved: HashMap<Slot, u64>,
}

impl<'a> Decoder<'a> {
    fn new(outside: &'a Outside, functions: &'a Functions<'a>) -> Self {
        Decoder {
            outside,
            functions,
            calls: Vec::new(),
            returns: Vec::new(),
            scopes: Vec::new(),
            registers: SINK + 2,
            specials: Vec::new(),
            shared_end: STATIC_SHARED,
            local_bytes: 0,
            label_places: Vec::new(),
            label_names: Vec::new(),
            instructions: Vec::new(),
            at: Position::default(),
            missing_label: None,
            moved: HashMap::new(),
        }
    }

    fn invalid(&self, at: Position, message: impl Into<String>) -> LoadError {
        LoadError::at(at, LoadErrorKind::Invalid, message)
    }

    /// Labels may be used before they appear, registers may not: so labels are declared when their scope opens.
    fn open(&mut self, body: &[Statement]) {
        let mut scope = Scope::default();
        for statement in body {
            match statement {
                Statement::Label(at, name) => {
                    scope
                        .labels
                        .insert(name.clone(), self.label_places.len() as u32);
                    self.label_places.push(None);
                    self.label_names.push((name.clone(), *at));
                }
                Statement::BranchTargets(name, targets) => {
                    scope.tables.insert(name.clone(), targets.clone());
                }
                _ => {}
            }
        }
        self.scopes.push(scope);
    }

    fn scope(&mut self) -> &mut Scope {
        self.scopes
            .last_mut()
            .expect("a scope is open while its statements are decoded")
    }

    fn statements(&mut self, body: &[Statement]) -> Result<(), LoadError> {
        for statement in body {
            match statement {
                Statement::Registers(r) => self.declare_registers(r)?,
                Statement::Variable(v) => self.declare_variable(v)?,
                Statement::Label(_, name) => {
                    let id = self.scope().labels[name];
                    self.label_places[id as usize] = Some(self.instructions.len() as u32);
                }
                Statement::BranchTargets(..) => {}
                Statement::Instruction(i) if i.opcode == "call" => self.call(i)?,
                Statement::Instruction(i) => self.instruction(i)?,
                Statement::Block(inner) => {
                    self.open(inner);
                    self.statements(inner)?;
                    self.scopes.pop();
                }
            }
        }
        Ok(())
    }

    fn declare_registers(&mut self, r: &ast::Registers) -> Result<(), LoadError> {
        let ty = r.ty.split('.').next_back().and_then(Ty::parse);
        let bits = match ty {
            Some(ty) if !r.ty.contains('.') => ty.bits(),
            _ => {
                let message = format!(".reg .{} is not implemented", r.ty);
                return Err(LoadError::at(r.at, LoadErrorKind::Unsupported, message));
            }
        };
        let words = if bits == 128 { 2 } else { 1 };
        let slot = self.registers;
        let count = r.range.unwrap_or(1);
        if count > 1 << 20 {
            return Err(self.invalid(r.at, "too many registers"));
        }
        self.registers += count as u32 * words;
        let name = r.name.clone();
        match r.range {
            Some(count) => self.scope().ranges.push((name, count, slot, bits)),
            None => {
                self.scope().registers.insert(name, (slot, bits));
            }
        }
        Ok(())
    }

    fn declare_variable(&mut self, v: &ast::Variable) -> Result<(), LoadError> {
        match v.space.as_str() {
            "shared" => self.place_shared(v),
            "local" | "param" => {
                let (bytes, align) = extent(v)?;
                let offset = self.local_bytes.next_multiple_of(align);
                self.local_bytes = offset + bytes;
                let base = if v.space == "param" { CALL_PARAMS } else { 0 };
                let place = Src::Imm(base + u64::from(offset));
                self.scope().variables.insert(v.name.clone(), place);
                Ok(())
            }
            other => {
                let message = format!("a .{other} variable inside a body is not implemented");
                Err(LoadError::at(v.at, LoadErrorKind::Unsupported, message))
            }
        }
    }

    fn place_shared(&mut self, v: &ast::Variable) -> Result<(), LoadError> {
        if !v.init.is_empty() {
            return Err(self.invalid(v.at, "shared memory cannot be initialised"));
        }
        let address = if v.count.is_none() || v.external {
            Src::Dynamic(0)
        } else {
            let (bytes, align) = extent(v)?;
            let offset = self.shared_end.next_multiple_of(align);
            self.shared_end = offset
                .checked_add(bytes)
                .filter(|end| *end < 1 << 24)
                .ok_or_else(|| {
                    LoadError::at(
                        v.at,
                        LoadErrorKind::Invalid,
                        "more shared memory than any device has",
                    )
                })?;
            Src::Shared(offset)
        };
        self.scope().variables.insert(v.name.clone(), address);
        Ok(())
    }

    /// The predicate register of a guard and the value it must have.
    fn guard(&self, written: &ast::Instruction) -> Result<Option<(Slot, bool)>, LoadError> {
        let Some(guard) = &written.guard else {
            return Ok(None);
        };
        match self.register(&guard.name) {
            Some((slot, 1)) => Ok(Some((slot, !guard.negated))),
            _ => {
                let message = format!("`{}` is not a predicate", guard.name);
                Err(self.invalid(written.at, message))
            }
        }
    }

    fn instruction(&mut self, written: &ast::Instruction) -> Result<(), LoadError> {
        self.at = written.at;
        let guard = self.guard(written)?;
        let mut form = Form::new(written, self);
        let op = decode_instruction(&mut form)?;
        form.finish()?;
        let operands = form.operands();
        if let Some(error) = self.missing_label.take() {
            return Err(error);
        }
        if let ("mov", [slot], Some(ast::Operand::Integer(value))) = (
            written.opcode.as_str(),
            &operands.writes[..],
            written.operands.get(1),
        ) {
            self.moved.insert(*slot, *value);
        }
        self.instructions.push(Instruction {
            line: written.at.line,
            guard,
            taint: match op.taint() {
                Taint::Lanewise => super::taint_of(written),
                other => other,
            },
            role: match written.opcode.as_str() {
                "wgmma" => Role::Warpgroup,
                "mov" => Role::Move,
                _ => Role::Plain,
            },
            op,
            operands,
        });
        Ok(())
    }

    /// Refuses instructions whose constants ask for what is not implemented.
    fn refuse(&self) -> Result<(), LoadError> {
        let mut writers: HashMap<Slot, u32> = HashMap::new();
        for slot in self.instructions.iter().flat_map(|i| &i.operands.writes) {
            *writers.entry(*slot).or_default() += 1;
        }
        let constant = |src| match src {
            Src::Imm(value) => Some(value),
            // Constants are moved into registers that nothing else writes.
            Src::Reg(slot) if writers.get(&slot) == Some(&1) => self.moved.get(&slot).copied(),
            _ => None,
        };
        for instruction in &self.instructions {
            if let Some(what) = instruction.op.refusal(&constant) {
                let at = Position {
                    line: instruction.line,
                    column: 1,
                };
                let message = format!("{what} is not implemented");
                return Err(LoadError::at(at, LoadErrorKind::Unsupported, message));
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Code, LoadError> {
        let end = self.instructions.len() as u32;
        let places: Vec<u32> = self.label_places.iter().map(|p| p.unwrap_or(end)).collect();
        for instruction in &mut self.instructions {
            instruction.op.resolve(&places);
        }
        // A body that ends without `ret` ends the thread all the same.
        self.instructions.push(Instruction {
            line: self.at.line,
            guard: None,
            op: super::control::exit(),
            operands: Default::default(),
            role: Role::Plain,
            taint: Taint::Lanewise,
        });
        let stack_base = self.local_bytes;
        if self
            .specials
            .iter()
            .any(|(s, _)| *s == Special::StackPointer)
        {
            self.local_bytes += STACK;
        }
        let uses_warpgroups = self.instructions.iter().any(|i| i.role == Role::Warpgroup);
        self.refuse()?;
        let any = |has: fn(&Op) -> bool| self.instructions.iter().any(|i| has(&i.op));
        let couples_clusters = any(|op| op.couples_clusters());
        let cancels_clusters = any(|op| op.cancels_clusters());
        Ok(Code {
            instructions: self.instructions,
            registers: self.registers as usize,
            specials: self.specials,
            shared_end: self.shared_end,
            local_bytes: self.local_bytes,
            stack_base,
            couples_clusters,
            cancels_clusters,
            uses_warpgroups,
        })
    }
}

/// Size and alignment of a variable in bytes.
pub(crate) fn extent(v: &ast::Variable) -> Result<(u32, u32), LoadError> {
    let unknown = || {
        LoadError::at(
            v.at,
            LoadErrorKind::Unsupported,
            format!("variable type .{} is not implemented", v.ty),
        )
    };
    let ty = Ty::parse(&v.ty).ok_or_else(unknown)?;
    let element = u64::from(ty.bytes()) * v.vector;
    let bytes = v
        .count
        .unwrap_or(0)
        .checked_mul(element)
        .filter(|b| *b < 1 << 31);
    let align = v.align.unwrap_or(element);
    if !align.is_power_of_two() || align > 1 << 16 {
        return Err(LoadError::at(
            v.at,
            LoadErrorKind::Invalid,
            "an alignment must be a power of two",
        ));
    }
    let bytes = bytes
        .ok_or_else(|| LoadError::at(v.at, LoadErrorKind::Invalid, "the variable is too large"))?;
    Ok((bytes as u32, align as u32))
}
