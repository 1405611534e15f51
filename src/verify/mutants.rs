//! Mutants of a generated kernel: what would happen if one synchronisation were missing?
//!
//! A checker that accepts everything proves nothing, so each wait, arrival, fence, barrier, commit, byte count and
//! coordinate of a kernel is broken in turn, one at a time. Whoever runs a mutant must see a fault or wrong numbers.
//!
//! Mutants are made from the text alone, line by line: one line of our kernels is one instruction. A statement that
//! needs a register of its own opens a scope, `{ .reg .b32 %mutant; ... }`.

use std::fmt;

/// One kernel with one thing broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// Line of the PTX that was changed, counted from 1.
    pub line: usize,
    /// The last label before it.
    pub label: String,
    /// What was done to it.
    pub edit: Edit,
    /// The instruction as it was.
    pub instruction: String,
    /// The whole text with the change.
    pub ptx: String,
}

/// A way to break an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Edit {
    /// The instruction is gone. A wait lets everyone pass.
    Removed,
    /// It is executed twice.
    Doubled,
    /// A wait asks for the other parity.
    OtherParity,
    /// A byte count is 16 too large.
    BytesAdded,
    /// A byte count is 16 too small.
    BytesLost,
    /// An arrival count is one too large.
    CountAdded,
    /// The innermost coordinate is off by one.
    FirstCoordinate,
    /// The outer coordinate is off by one.
    SecondCoordinate,
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Edit::Removed => "removed",
            Edit::Doubled => "doubled",
            Edit::OtherParity => "other parity",
            Edit::BytesAdded => "16 bytes more",
            Edit::BytesLost => "16 bytes less",
            Edit::CountAdded => "count + 1",
            Edit::FirstCoordinate => "first coordinate + 1",
            Edit::SecondCoordinate => "second coordinate + 1",
        })
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: {}", self.line, self.edit, self.instruction)
    }
}

/// What can be broken about an instruction, by the start of its opcode. The first match counts.
const EDITS: &[(&str, &[Edit])] = &[
    ("mbarrier.init", &[Edit::Removed, Edit::CountAdded]),
    ("mbarrier.try_wait", &[Edit::Removed, Edit::OtherParity]),
    (
        "mbarrier.arrive.expect_tx",
        &[
            Edit::Removed,
            Edit::Doubled,
            Edit::BytesAdded,
            Edit::BytesLost,
        ],
    ),
    ("mbarrier.arrive", &[Edit::Removed, Edit::Doubled]),
    ("tcgen05.commit", &[Edit::Removed, Edit::Doubled]),
    ("tcgen05.wait", &[Edit::Removed]),
    ("tcgen05.fence", &[Edit::Removed]),
    ("tcgen05.dealloc", &[Edit::Removed]),
    ("tcgen05.cp", &[Edit::Removed]),
    ("tcgen05.mma", &[Edit::Removed, Edit::Doubled]),
    ("fence.", &[Edit::Removed]),
    ("bar.", &[Edit::Removed]),
    ("barrier.", &[Edit::Removed]),
    ("griddepcontrol.wait", &[Edit::Removed]),
    ("mov.u32 %parity", &[Edit::OtherParity]),
    ("mov.u32 %accumulator_parity", &[Edit::OtherParity]),
    ("xor.b32 %parity", &[Edit::Removed]),
    ("xor.b32 %accumulator_parity", &[Edit::Removed]),
    // A prefetch changes nothing that anybody could see; its faults are those of its addresses.
    ("cp.async.bulk.prefetch", &[]),
    (
        "cp.async.bulk.tensor",
        &[Edit::Removed, Edit::FirstCoordinate, Edit::SecondCoordinate],
    ),
    (
        "cp.async.bulk.",
        &[Edit::Removed, Edit::BytesAdded, Edit::BytesLost],
    ),
];

/// All mutants of a kernel, in the order of its lines.
pub fn mutants(ptx: &str) -> Vec<Mutant> {
    let lines: Vec<&str> = ptx.lines().collect();
    let of_line = |index: usize| {
        let statement = Statement::parse(lines[index])?;
        let edits = EDITS
            .iter()
            .find(|(opcode, _)| statement.text.starts_with(opcode))?
            .1;
        let mutant = |edit: &Edit| {
            Some(Mutant {
                line: index + 1,
                label: label_before(&lines, index),
                edit: *edit,
                instruction: statement.text.clone(),
                ptx: replaced(&lines, index, &statement.broken(*edit)?),
            })
        };
        Some(edits.iter().filter_map(mutant).collect::<Vec<_>>())
    };
    (0..lines.len()).filter_map(of_line).flatten().collect()
}

/// The kernel with a trap in place of one line's instruction, behind the same guard: it faults if any thread gets there.
/// None if the line holds no instruction.
pub fn trapped(ptx: &str, line: usize) -> Option<String> {
    let lines: Vec<&str> = ptx.lines().collect();
    let index = line.checked_sub(1)?;
    let statement = Statement::parse(lines.get(index)?)?;
    Some(replaced(
        &lines,
        index,
        &format!("    {} trap;", statement.guard),
    ))
}

fn label_before(lines: &[&str], index: usize) -> String {
    let label = lines[..index]
        .iter()
        .rev()
        .find_map(|line| line.strip_suffix(':'));
    label.unwrap_or_default().trim().to_owned()
}

fn replaced(lines: &[&str], index: usize, line: &str) -> String {
    let with = |(i, old): (usize, &&str)| {
        if i == index {
            line.to_owned()
        } else {
            (*old).to_owned()
        }
    };
    let mut text = lines
        .iter()
        .enumerate()
        .map(with)
        .collect::<Vec<_>>()
        .join("\n");
    text.push('\n');
    text
}

/// A line that holds one instruction: `@guard opcode operands;`.
struct Statement {
    guard: String,
    text: String,
}

impl Statement {
    fn parse(line: &str) -> Option<Self> {
        let code = line.split("//").next().unwrap_or_default().trim();
        let words: Vec<&str> = code.strip_suffix(';')?.split_whitespace().collect();
        let (guard, text) = match words.first()? {
            first if first.starts_with('@') => (*first, &words[1..]),
            _ => ("", &words[..]),
        };
        Some(Statement {
            guard: guard.to_owned(),
            text: text.join(" "),
        })
    }

    /// The line with the edit, or None if the instruction has nothing to edit.
    fn broken(&self, edit: Edit) -> Option<String> {
        match edit {
            Edit::Removed => Some(self.removed()),
            Edit::Doubled => Some(format!("{0} {1}; {0} {1};", self.guard, self.text)),
            Edit::OtherParity => self.with_operand(self.last_operand()?, "xor.b32", 1),
            Edit::BytesAdded => self.with_operand(self.byte_count()?, "add.u32", 16),
            Edit::BytesLost => self.with_operand(self.byte_count()?, "sub.u32", 16),
            Edit::CountAdded => self.with_operand(self.last_operand()?, "add.u32", 1),
            Edit::FirstCoordinate => self.with_operand(self.coordinate(0)?, "add.u32", 1),
            Edit::SecondCoordinate => self.with_operand(self.coordinate(1)?, "add.u32", 1),
        }
    }

    /// A wait that never waits; other instructions leave nothing behind.
    fn removed(&self) -> String {
        let ready = self
            .text
            .strip_prefix("mbarrier.try_wait")
            .and_then(|rest| {
                let operands = rest.split_once(' ')?.1;
                operands.split(',').next()
            });
        match ready {
            Some(predicate) => format!("    setp.eq.u32 {}, 0, 0;", predicate.trim()),
            None => String::new(),
        }
    }

    fn last_operand(&self) -> Option<&str> {
        self.text
            .rsplit_once(',')
            .map(|(_, operand)| operand.trim())
    }

    /// `expect_tx` names its bytes last, a bulk copy after destination and source.
    fn byte_count(&self) -> Option<&str> {
        if self.text.starts_with("mbarrier") {
            return self.last_operand();
        }
        self.text.split(',').nth(2).map(str::trim)
    }

    fn coordinate(&self, index: usize) -> Option<&str> {
        let list = self.text.split_once('{')?.1.split_once('}')?.0;
        list.split(',').nth(index).map(str::trim)
    }

    /// The instruction with one operand replaced by a changed copy.
    fn with_operand(&self, operand: &str, operation: &str, amount: u32) -> Option<String> {
        let at = self.text.rfind(operand)?;
        let (before, after) = (&self.text[..at], &self.text[at + operand.len()..]);
        Some(format!(
            "{{ .reg .b32 %mutant; {operation} %mutant, {operand}, {amount}; {} {before}%mutant{after}; }}",
            self.guard
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: &str = "\
    @%p mbarrier.arrive.expect_tx.shared::cta.b64 _, [%full], %bytes;   // comment
    cp.async.bulk.tensor.2d.x [%s], [%map, {%k, %row}], [%full];
    mbarrier.try_wait.parity.shared::cta.b64 %ready, [%full], %parity;
    add.u32 %a, %b, 1;
";

    fn edits(line: usize) -> Vec<String> {
        let changed = |m: Mutant| m.ptx.lines().nth(line - 1).unwrap().trim().to_owned();
        mutants(KERNEL)
            .into_iter()
            .filter(|m| m.line == line)
            .map(changed)
            .collect()
    }

    #[test]
    fn byte_counts_keep_their_guard() {
        assert_eq!(
            edits(1)[2],
            "{ .reg .b32 %mutant; add.u32 %mutant, %bytes, 16; @%p mbarrier.arrive.expect_tx.shared::cta.b64 _, \
             [%full], %mutant; }"
        );
    }

    #[test]
    fn coordinates_are_told_apart() {
        assert!(edits(2)[1].contains("{%mutant, %row}"), "{:?}", edits(2));
        assert!(edits(2)[2].contains("{%k, %mutant}"), "{:?}", edits(2));
    }

    #[test]
    fn a_removed_wait_lets_everyone_pass() {
        assert_eq!(edits(3)[0], "setp.eq.u32 %ready, 0, 0;");
        assert!(edits(3)[1].contains("xor.b32 %mutant, %parity, 1;"));
    }

    #[test]
    fn a_trap_keeps_the_guard() {
        let text = trapped(KERNEL, 1).unwrap();
        assert_eq!(text.lines().next(), Some("    @%p trap;"));
        assert_eq!(text.lines().nth(1), KERNEL.lines().nth(1));
        assert_eq!((trapped(KERNEL, 0), trapped(KERNEL, 99)), (None, None));
    }

    #[test]
    fn arithmetic_is_left_alone() {
        assert_eq!(edits(4), Vec::<String>::new());
    }
}
