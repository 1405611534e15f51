//! The constant table as text, and how code reads it: the same for every target.

use crate::plan::table::{Constant, Table};

/// The constant table, line by line: the fields of `table.ptx`.
pub struct TileTable {
    pub space: &'static str,
    pub load: &'static str,
    pub fields: String,
    pub words: usize,
    pub row_bytes: u32,
    pub lines: Vec<String>,
}

impl TileTable {
    pub fn new(table: &Table) -> Self {
        let (space, load) = table.space();
        let lines = table.lines();
        let names: Vec<_> = table.columns.iter().map(|c| c.name).collect();
        TileTable {
            space,
            load,
            fields: if names.is_empty() {
                "nothing: all are alike".to_owned()
            } else {
                names.join(", ")
            },
            words: lines.iter().map(Vec::len).sum(),
            row_bytes: table.row_bytes(),
            lines: lines.iter().map(|line| words(line)).collect(),
        }
    }
}

fn words(line: &[u32]) -> String {
    line.iter()
        .map(u32::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// A tile's constant, as the instruction that brings it into a register.
pub trait Bring {
    /// From the row at hand.
    fn bring(&self, load: &str, register: &str) -> String {
        self.bring_from("%row", load, register)
    }

    /// From the row at an address.
    fn bring_from(&self, row: &str, load: &str, register: &str) -> String;
}

impl Bring for Constant {
    fn bring_from(&self, row: &str, load: &str, register: &str) -> String {
        match self {
            Constant::Immediate(value) => format!("mov.u32     {register}, {value};"),
            Constant::Column(offset) => format!("{load}.u32 {register}, [{row}+{offset}];"),
        }
    }
}
