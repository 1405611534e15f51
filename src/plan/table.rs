//! Which constants of a token tile are the same for all.
//!
//! What is the same for every token tile of the set becomes an immediate in the code; only what differs takes a column
//! of the constant table. So the code of a set with one K knows its K, and a set with many does not grow.

/// Where the code finds a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constant {
    /// The same for all token tiles.
    Immediate(u32),
    /// At this byte offset of the token tile's record.
    Column(u32),
}

/// A column of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The constant's name.
    pub name: &'static str,
    /// Its value for each token tile.
    pub values: Vec<u32>,
}

/// The table of what differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Columns in the order of a record's words.
    pub columns: Vec<Column>,
}

impl Table {
    /// An immediate if all values are the same, else a new column.
    pub fn place(&mut self, name: &'static str, values: Vec<u32>) -> Constant {
        match values.split_first() {
            None => Constant::Immediate(0),
            Some((first, rest)) if rest.iter().all(|v| v == first) => Constant::Immediate(*first),
            Some(_) => {
                self.columns.push(Column { name, values });
                Constant::Column(4 * (self.columns.len() as u32 - 1))
            }
        }
    }

    /// Bytes of one token tile's record.
    pub fn record_bytes(&self) -> u32 {
        4 * self.columns.len() as u32
    }
}
