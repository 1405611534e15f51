use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// Source lines are cut to about this many characters around the offending text.
const WINDOW: usize = 100;

/// One thing that is wrong with a shape file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Line of the offending text, from 1.
    pub line: usize,
    /// Column of the offending text in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do; empty if the message says it.
    pub remedy: String,
    /// The source line and the carets below it.
    excerpt: [String; 2],
}

/// Everything that is wrong with a shape file, in the order of the text. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    /// The file, as it was named by the caller.
    pub path: PathBuf,
    /// The errors.
    pub all: Vec<Diagnostic>,
}

impl Diagnostic {
    /// A diagnostic about the bytes `span` of `text`.
    pub(super) fn new(text: &str, span: Range<usize>, message: String, remedy: String) -> Self {
        let start = floor_char_boundary(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_text = text[line_start..].lines().next().unwrap_or("");
        let column = text[line_start..start].chars().count();
        let end = floor_char_boundary(text, span.end.min(line_start + line_text.len()));
        let width = text[start..end.max(start)].chars().count().max(1);
        Self {
            line: text[..line_start].matches('\n').count() + 1,
            column: column + 1,
            message,
            remedy,
            excerpt: excerpt(line_text, column, width),
        }
    }
}

/// The part of a line around the offending characters, and carets to put below it.
fn excerpt(line: &str, column: usize, width: usize) -> [String; 2] {
    let line: Vec<char> = line
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let width = width.min(WINDOW / 2);
    let first = if line.len() <= WINDOW {
        0
    } else {
        column.saturating_sub(WINDOW / 2)
    };
    let last = line.len().min(first + WINDOW);
    let [left, right] = [first > 0, last < line.len()].map(|cut| if cut { "..." } else { "" });
    let shown: String = line[first.min(last)..last].iter().collect();
    let carets = " ".repeat(left.len() + column - first) + &"^".repeat(width);
    [format!("{left}{shown}{right}"), carets]
}

fn floor_char_boundary(text: &str, index: usize) -> usize {
    (0..=index.min(text.len()))
        .rev()
        .find(|&i| text.is_char_boundary(i))
        .unwrap_or(0)
}

impl Diagnostics {
    fn write(&self, f: &mut fmt::Formatter<'_>, diagnostic: &Diagnostic) -> fmt::Result {
        let Diagnostic {
            line,
            column,
            message,
            remedy,
            excerpt: [source, carets],
        } = diagnostic;
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, "{}:{line}:{column}: {message}", self.path.display())?;
        writeln!(f, "{margin} |\n{number} | {source}\n{margin} | {carets}")?;
        if remedy.is_empty() {
            Ok(())
        } else {
            writeln!(f, "{margin} = {remedy}")
        }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in &self.all {
            self.write(f, diagnostic)?;
            writeln!(f)?;
        }
        let plural = if self.all.len() == 1 { "" } else { "s" };
        write!(
            f,
            "{} error{plural} in {}",
            self.all.len(),
            self.path.display()
        )
    }
}

impl std::error::Error for Diagnostics {}
