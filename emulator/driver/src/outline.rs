//! The outline of a PTX module: what the driver must know of entries and variables before anything runs. The code
//! itself is the emulator's business; this reads declarations only and leaves their errors to it.

/// A module's declarations.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    pub version: (u32, u32),
    pub entries: Vec<Entry>,
    pub variables: Vec<Variable>,
}

/// An entry's directives and the extent of its variables.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Entry {
    pub name: String,
    /// `.reqntid`.
    pub required_block: Option<[u32; 3]>,
    /// Product of `.maxntid`.
    pub max_threads: Option<u32>,
    /// `.reqnctapercluster`.
    pub cluster: Option<[u32; 3]>,
    pub explicit_cluster: bool,
    /// `.maxnreg`.
    pub max_registers: Option<u32>,
    /// Static shared memory in bytes.
    pub shared: u64,
    /// Local variables in bytes.
    pub local: u64,
}

/// A variable at module scope.
#[derive(Debug, PartialEq)]
pub(crate) struct Variable {
    pub name: String,
    pub space: String,
    pub bytes: u64,
    pub align: u64,
}

impl Outline {
    /// Reads a module. Text that is no PTX gives an outline with whatever looked like a declaration.
    pub(crate) fn read(text: &str) -> Self {
        let tokens = tokens(text);
        let mut outline = Outline::default();
        let mut rest = &tokens[..];
        while let Some(word) = rest.first() {
            match word.as_str() {
                ".version" => {
                    outline.version = rest.get(1).and_then(|v| version(v)).unwrap_or_default();
                    rest = &rest[2.min(rest.len())..];
                }
                ".entry" => {
                    let end = end_of_body(rest);
                    outline
                        .entries
                        .push(entry(&rest[..end], &outline.variables));
                    rest = &rest[end..];
                }
                ".func" => rest = &rest[end_of_body(rest)..],
                ".global" | ".const" | ".shared" => {
                    let end = end_of_statement(rest);
                    outline.variables.extend(variable(&rest[..end]));
                    rest = &rest[end..];
                }
                // What is declared elsewhere has no place of its own.
                ".extern" => rest = &rest[end_of_statement(rest)..],
                _ => rest = &rest[1..],
            }
        }
        outline
    }
}

fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Words, numbers and punctuation, without comments.
fn tokens(text: &str) -> Vec<String> {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '$' | '%');
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if first == '"' {
            rest[1..].find('"').map_or(rest.len(), |end| end + 2)
        } else if is_word(first) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            tokens.push(rest[..length].to_string());
            length
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

/// Behind the `;` that ends a declaration.
fn end_of_statement(tokens: &[String]) -> usize {
    tokens
        .iter()
        .position(|t| t == ";")
        .map_or(tokens.len(), |i| i + 1)
}

/// Behind the body of a function, or behind its declaration if it has none.
fn end_of_body(tokens: &[String]) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => return i + 1,
            "}" => depth -= 1,
            ";" if depth == 0 => return i + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// `.entry name (..) directives { body }`.
fn entry(tokens: &[String], outside: &[Variable]) -> Entry {
    let body = tokens.iter().position(|t| t == "{").unwrap_or(tokens.len());
    let (head, body) = tokens.split_at(body);
    let mut entry = Entry {
        name: head.get(1).cloned().unwrap_or_default(),
        ..Entry::default()
    };
    for (i, token) in head.iter().enumerate() {
        let values = || numbers(&head[i + 1..]);
        match token.as_str() {
            ".reqntid" => entry.required_block = Some(values()),
            ".maxntid" => entry.max_threads = Some(values().iter().product()),
            ".reqnctapercluster" => entry.cluster = Some(values()),
            ".explicitcluster" => entry.explicit_cluster = true,
            ".maxnreg" => entry.max_registers = Some(values()[0]),
            _ => {}
        }
    }
    let used = outside
        .iter()
        .filter(|v| v.space == "shared" && body.contains(&v.name));
    used.for_each(|v| place(&mut entry.shared, v));
    for (i, token) in body.iter().enumerate() {
        if matches!(token.as_str(), ".shared" | ".local")
            && let Some(found) = variable(&body[i..i + end_of_statement(&body[i..])])
        {
            let total = if found.space == "shared" {
                &mut entry.shared
            } else {
                &mut entry.local
            };
            place(total, &found);
        }
    }
    entry
}

fn place(total: &mut u64, variable: &Variable) {
    *total = total.next_multiple_of(variable.align.max(1)) + variable.bytes;
}

/// Up to three numbers separated by commas; those that are missing are 1.
fn numbers(tokens: &[String]) -> [u32; 3] {
    let mut values = tokens
        .split(|t| t == ",")
        .map_while(|t| integer(t.first()?));
    std::array::from_fn(|_| values.next().map_or(1, |n| n as u32))
}

fn integer(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits.trim_end_matches('U'), 16).ok(),
        None => text.trim_end_matches('U').parse().ok(),
    }
}

/// `.space .align N .type name[..] = ..;`, `None` for anything that only looks like it.
fn variable(tokens: &[String]) -> Option<Variable> {
    let space = tokens.first()?.trim_start_matches('.').to_string();
    let (mut align, mut vector, mut size) = (None, 1, None);
    let mut i = 1;
    while let Some(word) = tokens.get(i).and_then(|t| t.strip_prefix('.')) {
        match word {
            "align" => {
                i += 1;
                align = Some(integer(tokens.get(i)?)?);
            }
            "v2" => vector = 2,
            "v4" => vector = 4,
            other => size = size.or(type_bytes(other)),
        }
        i += 1;
    }
    let name = tokens.get(i)?.clone();
    let element = size? * vector;
    let mut bytes = element;
    let mut dims = tokens[i + 1..].chunks_exact(3);
    while let Some([open, count, close]) = dims.next()
        && open == "["
        && close == "]"
    {
        bytes *= integer(count)?;
    }
    Some(Variable {
        name,
        space,
        bytes,
        align: align.unwrap_or(element),
    })
}

/// Bytes of a fundamental type (PTX ISA, fundamental types).
fn type_bytes(name: &str) -> Option<u64> {
    let bits: u64 = match name {
        "f16x2" | "bf16x2" => 32,
        "pred" => 8,
        other => other
            .trim_start_matches(|c: char| c.is_ascii_lowercase())
            .parse()
            .ok()?,
    };
    matches!(bits, 8 | 16 | 32 | 64 | 128).then_some(bits / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_read() {
        let outline = Outline::read(
            "// .version 1.0
            .version 8.7 .target sm_100a .address_size 64
            .visible .global .align 16 .b8 table[2][24];
            .const .f32 weights[4] = {0f3F800000, 1.0, 2.0, 3.0};
            .extern .shared .align 1024 .b8 dynamic[];
            .shared .align 64 .b8 ring[100]; .shared .b8 unused[7];
            .func helper(.param .b32 x) { ret; }
            .visible .entry first(.param .u64 p, .param .align 64 .b8 block[4096])
            .reqntid 128, 1, 1 .reqnctapercluster 2 .maxnreg 64
            { .shared .align 8 .b64 barrier; .local .b8 stack[12]; mov.u32 %r1, ring; ld.shared.u32 %r2, [%r1]; { ret; } }
            .entry second() .maxntid 16, 4 .explicitcluster { st.shared.u32 [dynamic], 1; ret; }",
        );
        assert_eq!(outline.version, (8, 7));
        let names: Vec<_> = outline
            .variables
            .iter()
            .map(|v| (v.name.as_str(), v.bytes))
            .collect();
        assert_eq!(
            names,
            [("table", 48), ("weights", 16), ("ring", 100), ("unused", 7)]
        );
        let [first, second] = &outline.entries[..] else {
            panic!("{outline:?}")
        };
        assert_eq!(
            (first.required_block, first.cluster),
            (Some([128, 1, 1]), Some([2, 1, 1]))
        );
        assert_eq!(
            (first.shared, first.local, first.max_registers),
            (112, 12, Some(64))
        );
        assert_eq!(
            (second.max_threads, second.explicit_cluster, second.shared),
            (Some(64), true, 0)
        );
    }
}
