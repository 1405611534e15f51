//! Modules: PTX text, decoded and ready to launch.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{LoadError, LoadErrorKind};
use crate::isa::{Code, Functions, Src, decode_entry, extent};
use crate::ptx::ast::{self, Operand};
use crate::ptx::parse;

/// A loaded PTX module.
pub struct Module {
    pub(crate) name: String,
    pub(crate) id: u64,
    pub(crate) target: String,
    pub(crate) entries: Vec<Entry>,
    pub(crate) constants: Vec<u8>,
    pub(crate) globals: Vec<GlobalVariable>,
}

/// An entry, decoded.
pub(crate) struct Entry {
    pub name: String,
    pub code: Code,
    pub params: Vec<Parameter>,
    pub param_bytes: u32,
    pub required_block: Option<[u32; 3]>,
    pub max_threads: Option<u64>,
    pub cluster: Option<[u32; 3]>,
}

/// A parameter of an entry and its place in the parameter block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Name in the PTX.
    pub name: String,
    /// Offset in bytes.
    pub offset: u32,
    /// Size in bytes.
    pub bytes: u32,
}

/// A variable in global memory: allocated and initialised when a device first meets the module.
pub(crate) struct GlobalVariable {
    pub name: String,
    pub bytes: Vec<u8>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

impl Module {
    /// Reads and decodes PTX. `name` appears in errors. Everything the emulator does not implement is refused here.
    pub fn load(name: &str, text: &str) -> Result<Module, LoadError> {
        let load = || {
            let unit = parse(text)?;
            let mut module = Module {
                name: name.into(),
                id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
                target: unit.target.clone(),
                entries: Vec::new(),
                constants: Vec::new(),
                globals: Vec::new(),
            };
            let outside = module.place_variables(&unit)?;
            for entry in &unit.entries {
                let decoded = decode(entry, &unit, &outside)?;
                module.entries.push(decoded);
            }
            Ok(module)
        };
        load().map_err(|e: LoadError| e.in_module(name))
    }

    /// The name given to [`Module::load`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The `.target`, such as `sm_100a`.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The names of the entries.
    pub fn entries(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|e| e.name.as_str())
    }

    /// The parameters of an entry, if it exists, in their order.
    pub fn params(&self, entry: &str) -> Option<&[Parameter]> {
        self.entries
            .iter()
            .find(|e| e.name == entry)
            .map(|e| e.params.as_slice())
    }

    /// Lays out constant and global variables.
    fn place_variables(&mut self, unit: &ast::Unit) -> Result<HashMap<String, Src>, LoadError> {
        let mut places = HashMap::new();
        for variable in &unit.variables {
            let place = match variable.space.as_str() {
                "shared" => continue,
                "const" => {
                    let (bytes, align) = extent(variable)?;
                    let offset = self.constants.len().next_multiple_of(align as usize);
                    self.constants.resize(offset, 0);
                    self.constants.extend(image(variable, bytes)?);
                    Src::Imm(offset as u64)
                }
                "global" => {
                    let (bytes, _) = extent(variable)?;
                    self.globals.push(GlobalVariable {
                        name: variable.name.clone(),
                        bytes: image(variable, bytes)?,
                    });
                    Src::Global(self.globals.len() as u32 - 1, 0)
                }
                other => {
                    let message = format!("a module variable in .{other} is not implemented");
                    return Err(LoadError::at(
                        variable.at,
                        LoadErrorKind::Unsupported,
                        message,
                    ));
                }
            };
            places.insert(variable.name.clone(), place);
        }
        Ok(places)
    }
}

/// The initial bytes of a variable; what has no initialiser is zero (PTX ISA, 5.4.4).
fn image(variable: &ast::Variable, bytes: u32) -> Result<Vec<u8>, LoadError> {
    let mut out = vec![0; bytes as usize];
    let count = variable.count.unwrap_or(1).max(1) * variable.vector;
    let size = (u64::from(bytes) / count.max(1)) as usize;
    let invalid = |message: &str| LoadError::at(variable.at, LoadErrorKind::Invalid, message);
    if variable.init.len() * size > out.len() {
        return Err(invalid("more initial values than elements"));
    }
    for (value, place) in variable.init.iter().zip(out.chunks_exact_mut(size.max(1))) {
        let word = match (value, variable.ty.as_str()) {
            (Operand::Integer(v), _) => *v,
            (Operand::Single(v), _) => u64::from(*v),
            (Operand::Double(v), "f32") => u64::from((f64::from_bits(*v) as f32).to_bits()),
            (Operand::Double(v), _) => *v,
            _ => {
                let message = "an initial value that is no constant is not implemented";
                return Err(LoadError::at(
                    variable.at,
                    LoadErrorKind::Unsupported,
                    message,
                ));
            }
        };
        let word = word.to_le_bytes();
        let len = place.len().min(8);
        place[..len].copy_from_slice(&word[..len]);
    }
    Ok(out)
}

fn decode(
    entry: &ast::Entry,
    unit: &ast::Unit,
    outside: &HashMap<String, Src>,
) -> Result<Entry, LoadError> {
    let mut names = outside.clone();
    let mut param_bytes = 0u32;
    let mut params = Vec::new();
    for param in &entry.params {
        let (bytes, align) = extent(param)?;
        param_bytes = param_bytes.next_multiple_of(align);
        names.insert(param.name.clone(), Src::Imm(param_bytes.into()));
        params.push(Parameter {
            name: param.name.clone(),
            offset: param_bytes,
            bytes,
        });
        param_bytes += bytes;
    }
    let functions = functions(unit);
    let mut used = names_in(&entry.body);
    for body in functions.values().filter_map(|f| f.body.as_ref()) {
        used.extend(names_in(body));
    }
    let shared: Vec<_> = unit
        .variables
        .iter()
        .filter(|v| v.space == "shared" && used.contains(v.name.as_str()))
        .collect();
    let code = decode_entry(&entry.body, &names, &shared, &functions)?;
    let mut out = Entry {
        name: entry.name.clone(),
        code,
        params,
        param_bytes,
        required_block: None,
        max_threads: None,
        cluster: None,
    };
    entry
        .directives
        .iter()
        .try_for_each(|directive| apply(&mut out, directive))?;
    Ok(out)
}

/// The functions by name; a body counts more than a prototype.
fn functions(unit: &ast::Unit) -> Functions<'_> {
    let mut functions = Functions::new();
    for function in &unit.functions {
        let known = functions.entry(function.name.as_str()).or_insert(function);
        if function.body.is_some() {
            *known = function;
        }
    }
    functions
}

/// Performance directives (PTX ISA, 11.4): those that bind the launch are kept.
fn apply(entry: &mut Entry, directive: &ast::Directive) -> Result<(), LoadError> {
    let dims = || -> [u32; 3] {
        std::array::from_fn(|i| directive.values.get(i).map_or(1, |v| *v as u32))
    };
    match directive.name.as_str() {
        "reqntid" => entry.required_block = Some(dims()),
        "maxntid" => entry.max_threads = Some(directive.values.iter().product()),
        "reqnctapercluster" => entry.cluster = Some(dims()),
        "maxnreg" | "minnctapersm" | "maxnctapersm" | "explicitcluster" | "maxclusterrank"
        | "pragma" | "noreturn" => {}
        other => {
            let message = format!("directive .{other} is not implemented");
            return Err(LoadError::at(
                directive.at,
                LoadErrorKind::Unsupported,
                message,
            ));
        }
    }
    Ok(())
}

/// Every name that a body mentions.
fn names_in(body: &[ast::Statement]) -> std::collections::HashSet<&str> {
    fn operand<'a>(o: &'a Operand, out: &mut std::collections::HashSet<&'a str>) {
        match o {
            Operand::Name(name) | Operand::Offset(name, _) | Operand::Not(name) => {
                out.insert(name);
            }
            Operand::Vector(list) | Operand::List(list) => {
                list.iter().for_each(|o| operand(o, out))
            }
            Operand::Address(a) => {
                operand(&a.base, out);
                a.extra.iter().for_each(|o| operand(o, out));
            }
            Operand::Pair(a, b) => {
                operand(a, out);
                operand(b, out);
            }
            _ => {}
        }
    }
    let mut out = std::collections::HashSet::new();
    for statement in body {
        match statement {
            ast::Statement::Instruction(i) => i.operands.iter().for_each(|o| operand(o, &mut out)),
            ast::Statement::Block(inner) => out.extend(names_in(inner)),
            _ => {}
        }
    }
    out
}
