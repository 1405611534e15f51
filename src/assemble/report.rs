//! What `ptxas -v` prints, as data.
//!
//! ```text
//! ptxas info    : Compiling entry function 'f' for 'sm_100a'
//! ptxas info    : Function properties for f
//!     168 bytes stack frame, 168 bytes spill stores, 168 bytes spill loads
//! ptxas info    : Used 32 registers, used 1 barriers, 168 bytes cumulative stack size, 1200 bytes smem
//! ptxas kernel.ptx, line 12; error   : Not a name of any known instruction: 'frobnicate'
//! ```

use std::fmt;

/// What one entry function costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Name of the `.entry`.
    pub function: String,
    /// 32-bit registers per thread.
    pub registers: u32,
    /// Bytes per thread written to local memory because registers ran out.
    pub spill_stores: u32,
    /// Bytes per thread read back.
    pub spill_loads: u32,
    /// Bytes of local memory per thread: stack frame, spills included.
    pub local_bytes: u32,
    /// Bytes of statically declared shared memory per CTA.
    pub shared_bytes: u32,
    /// Named barriers.
    pub barriers: u32,
}

/// A warning or an error of ptxas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Line of the PTX, from 1, and its text; `None` if the message is about no line.
    pub line: Option<(usize, String)>,
    /// What ptxas says.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.line {
            Some((number, text)) => {
                write!(out, "line {number}: {}\n    {}", self.message, text.trim())
            }
            None => out.write_str(&self.message),
        }
    }
}

/// Everything that ptxas said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    pub entries: Vec<Resources>,
    pub warnings: Vec<Diagnostic>,
    pub errors: Vec<Diagnostic>,
}

/// Reads ptxas's output about `ptx`. Lines of no interest are passed over.
pub(super) fn parse(output: &str, ptx: &str) -> Report {
    let mut report = Report::default();
    for line in output.lines() {
        match Message::split(line) {
            Some(message) => message.file(&mut report, ptx),
            None => {
                if let Some(entry) = report.entries.last_mut() {
                    read_quantities(entry, line);
                }
            }
        }
    }
    drop_summary(&mut report.errors);
    report
}

/// One line of the form `ptxas [<file>, line <n>;] <kind> : <text>`.
struct Message<'a> {
    line: Option<usize>,
    kind: &'a str,
    text: &'a str,
}

impl<'a> Message<'a> {
    fn split(line: &'a str) -> Option<Self> {
        let rest = line.strip_prefix("ptxas ")?;
        let (head, text) = rest.split_once(" : ").or_else(|| rest.split_once(": "))?;
        let (place, kind) = match head.rsplit_once("; ") {
            Some((place, kind)) => (Some(place), kind),
            None => (None, head),
        };
        let line = place.and_then(|place| place.rsplit_once("line ")?.1.trim().parse().ok());
        Some(Message {
            line,
            kind: kind.trim(),
            text: text.trim(),
        })
    }

    fn file(&self, report: &mut Report, ptx: &str) {
        match self.kind {
            "info" if self.text.starts_with("(C") => report.warnings.push(self.diagnostic(ptx)), // advice, e.g. C7510
            "info" => self.file_info(&mut report.entries),
            "warning" => report.warnings.push(self.diagnostic(ptx)),
            _ => report.errors.push(self.diagnostic(ptx)),
        }
    }

    fn file_info(&self, entries: &mut Vec<Resources>) {
        if let Some(rest) = self.text.strip_prefix("Compiling entry function '") {
            let function = rest.split('\'').next().unwrap_or_default().to_owned();
            entries.push(Resources {
                function,
                ..Resources::default()
            });
        } else if let (Some(quantities), Some(entry)) =
            (self.text.strip_prefix("Used "), entries.last_mut())
        {
            read_quantities(entry, quantities);
        }
    }

    fn diagnostic(&self, ptx: &str) -> Diagnostic {
        let text = |line: usize| {
            ptx.lines()
                .nth(line.saturating_sub(1))
                .unwrap_or_default()
                .to_owned()
        };
        Diagnostic {
            line: self.line.map(|line| (line, text(line))),
            message: self.text.to_owned(),
        }
    }
}

/// Reads `<number> <what>, <number> <what>...`.
fn read_quantities(entry: &mut Resources, list: &str) {
    for item in list.split(',') {
        let item = item.trim().trim_start_matches("used ");
        let Some((number, what)) = item.split_once(' ') else {
            continue;
        };
        let Ok(number) = number.parse() else { continue };
        match what {
            "registers" => entry.registers = number,
            "barriers" => entry.barriers = number,
            "bytes smem" => entry.shared_bytes = number,
            "bytes spill stores" => entry.spill_stores = number,
            "bytes spill loads" => entry.spill_loads = number,
            "bytes stack frame" | "bytes cumulative stack size" | "bytes lmem" => {
                entry.local_bytes = entry.local_bytes.max(number);
            }
            _ => {}
        }
    }
}

/// The last line only says that there were errors.
fn drop_summary(errors: &mut Vec<Diagnostic>) {
    if errors.len() > 1 {
        errors.retain(|error| !error.message.starts_with("Ptx assembly aborted"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Printed by ptxas 13.5 for kernels made up for the purpose.
    const SPILLING: &str = "\
ptxas warning : Local memory used for function 'spilling', size of stack frame: 168 bytes
ptxas warning : Registers are spilled to local memory in function 'spilling', 160 bytes spill stores, 156 bytes spill loads
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'spilling' for 'sm_100a'
ptxas info    : Function properties for spilling
    168 bytes stack frame, 160 bytes spill stores, 156 bytes spill loads
ptxas info    : Used 32 registers, used 0 barriers, 168 bytes cumulative stack size
ptxas info    : Compile time = 14.041 ms
";

    const TWO_ENTRIES: &str = "\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'other' for 'sm_100a'
ptxas info    : Function properties for other
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 4 registers, used 0 barriers
ptxas info    : Compile time = 2.123 ms
ptxas info    : Compiling entry function 'one' for 'sm_100a'
ptxas info    : Function properties for one
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 6 registers, used 4 barriers, 1200 bytes smem
ptxas info    : Compile time = 1.830 ms
";

    const REJECTED: &str = "\
ptxas bad.ptx, line 2; error   : Arguments mismatch for instruction 'mov'
ptxas bad.ptx, line 3; error   : Not a name of any known instruction: 'frobnicate'
ptxas bad.ptx, line 2; error   : Unknown symbol '%nosuch'
ptxas fatal   : Ptx assembly aborted due to errors
";

    #[test]
    fn spills_and_warnings() {
        let report = parse(SPILLING, "");
        let entry = Resources {
            function: "spilling".into(),
            registers: 32,
            spill_stores: 160,
            spill_loads: 156,
            local_bytes: 168,
            ..Resources::default()
        };
        assert_eq!(report.entries, [entry]);
        assert_eq!(report.warnings.len(), 2);
        assert_eq!(report.warnings[0].line, None);
        assert!(
            report.warnings[0]
                .message
                .starts_with("Local memory used for function 'spilling'")
        );
        assert_eq!(report.errors, []);
    }

    #[test]
    fn several_entries() {
        let report = parse(TWO_ENTRIES, "");
        let other = Resources {
            function: "other".into(),
            registers: 4,
            ..Resources::default()
        };
        let one = Resources {
            function: "one".into(),
            registers: 6,
            barriers: 4,
            shared_bytes: 1200,
            ..Resources::default()
        };
        assert_eq!(report.entries, [other, one]);
        assert_eq!(report.warnings, []);
    }

    #[test]
    fn errors_carry_their_line() {
        let report = parse(
            REJECTED,
            "first\n    mov.u32 %x, %nosuch;\n    frobnicate.u32 %x;\n",
        );
        let shown: Vec<String> = report.errors.iter().map(Diagnostic::to_string).collect();
        let expected = [
            "line 2: Arguments mismatch for instruction 'mov'\n    mov.u32 %x, %nosuch;",
            "line 3: Not a name of any known instruction: 'frobnicate'\n    frobnicate.u32 %x;",
            "line 2: Unknown symbol '%nosuch'\n    mov.u32 %x, %nosuch;",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn errors_without_a_line() {
        let report = parse(
            "ptxas fatal   : Value 'sm_10' is not defined for option 'gpu-name'\n",
            "",
        );
        assert_eq!(report.errors.len(), 1);
        assert_eq!(
            report.errors[0].to_string(),
            "Value 'sm_10' is not defined for option 'gpu-name'"
        );
        let alone = parse("ptxas fatal   : Ptx assembly aborted due to errors\n", "");
        assert_eq!(alone.errors.len(), 1);
    }

    #[test]
    fn a_line_beyond_the_text_is_no_panic() {
        let report = parse(
            "ptxas a.ptx, line 99; fatal   : Parsing error near 'st': syntax error\n",
            "one line",
        );
        assert_eq!(report.errors[0].line, Some((99, String::new())));
    }

    #[test]
    fn advice_is_a_warning() {
        let advice = "ptxas info    : (C7510) Potential Performance Loss: something is serialized in function 'f'\n";
        assert_eq!(parse(advice, "").warnings.len(), 1);
    }
}
