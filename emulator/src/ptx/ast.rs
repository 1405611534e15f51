//! The structure of a PTX module as written: nothing resolved, nothing judged.

use super::Position;

/// A translation unit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unit {
    pub version: (u32, u32),
    pub target: String,
    pub variables: Vec<Variable>,
    pub entries: Vec<Entry>,
    pub functions: Vec<Function>,
}

/// `.func`.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub name: String,
    pub returns: Vec<Variable>,
    pub params: Vec<Variable>,
    /// None for a prototype.
    pub body: Option<Vec<Statement>>,
}

/// `.entry`.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub name: String,
    pub params: Vec<Variable>,
    pub directives: Vec<Directive>,
    pub body: Vec<Statement>,
}

/// A performance directive such as `.reqntid 128, 1, 1`.
#[derive(Clone, Debug)]
pub(crate) struct Directive {
    pub at: Position,
    pub name: String,
    pub values: Vec<u64>,
}

/// A declared variable or parameter outside the register space.
#[derive(Clone, Debug)]
pub(crate) struct Variable {
    pub at: Position,
    /// `const`, `global`, `shared`, `local`, `param`.
    pub space: String,
    /// Fundamental type without the dot, e.g. `b8`.
    pub ty: String,
    /// Vector length: 1, 2, 4.
    pub vector: u64,
    pub align: Option<u64>,
    pub name: String,
    /// Number of elements; `None` for `[]`.
    pub count: Option<u64>,
    pub external: bool,
    pub init: Vec<Operand>,
}

/// `.reg .b32 %r<10>, %x;` one name of it.
#[derive(Clone, Debug)]
pub(crate) struct Registers {
    pub at: Position,
    pub ty: String,
    pub name: String,
    /// `Some(n)` for `%r<n>`.
    pub range: Option<u64>,
}

/// One statement of a body.
#[derive(Clone, Debug)]
pub(crate) enum Statement {
    Registers(Registers),
    Variable(Variable),
    Label(Position, String),
    /// `L: .branchtargets A, B;`
    BranchTargets(String, Vec<String>),
    Instruction(Instruction),
    Block(Vec<Statement>),
}

/// An instruction with its guard, modifiers and operands.
#[derive(Clone, Debug)]
pub(crate) struct Instruction {
    pub at: Position,
    pub guard: Option<Guard>,
    /// The word before the first dot.
    pub opcode: String,
    /// The words behind dots, in their order.
    pub modifiers: Vec<String>,
    pub operands: Vec<Operand>,
}

/// `@%p` or `@!%p`.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    pub negated: bool,
    pub name: String,
}

/// An operand as written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    /// Register, special register (`%tid.x`), label or variable.
    Name(String),
    /// `!%p`.
    Not(String),
    /// `-%r`, or `-%r.h0`: of `vmad` only.
    Negative(String),
    /// `name+4` outside brackets.
    Offset(String, i64),
    Integer(u64),
    Single(u32),
    Double(u64),
    /// `{a, b}`.
    Vector(Vec<Operand>),
    /// `[base+offset]`, or `[base, {coordinates}, ..]`.
    Address(Box<Address>),
    /// `a|b`.
    Pair(Box<Operand>, Box<Operand>),
    /// `_`.
    Sink,
    /// Parentheses of a call.
    List(Vec<Operand>),
}

/// The inside of brackets.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Address {
    /// A name or an integer.
    pub base: Operand,
    pub offset: i64,
    /// What follows the first comma.
    pub extra: Vec<Operand>,
}

impl std::fmt::Display for Instruction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.opcode)?;
        self.modifiers.iter().try_for_each(|m| write!(f, ".{m}"))
    }
}
