//! Failures on demand, and a trace of the calls.

use std::io::Write as _;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use crate::error::{self, Error};

/// One rule: which calls of which function fail, and how.
#[derive(Debug)]
struct Rule {
    /// An exported name, a name without version suffix, or `*` for all functions together.
    function: String,
    which: Which,
    error: Error,
    /// Calls that the rule has seen.
    calls: AtomicU64,
}

#[derive(Debug, PartialEq)]
enum Which {
    /// The Nth call, counted from 1.
    Nth(u64),
    /// The Nth call and all later ones.
    From(u64),
}

/// 0: the environment has not been read, 1: no rules, 2: rules.
static ARMED: AtomicU8 = AtomicU8::new(0);
static TRACED: AtomicBool = AtomicBool::new(false);
static RULES: RwLock<Vec<Rule>> = RwLock::new(Vec::new());

/// Whether there may be rules: the only thing that a call pays for when there are none.
#[inline]
pub(crate) fn is_armed() -> bool {
    ARMED.load(Ordering::Relaxed) != 1
}

#[inline]
pub(crate) fn is_traced() -> bool {
    TRACED.load(Ordering::Relaxed)
}

pub(crate) fn set_traced(on: bool) {
    TRACED.store(on, Ordering::Relaxed);
}

/// Replaces all rules by `function:N:ERROR[,...]`; empty disarms.
pub(crate) fn arm(text: &str) -> Result<(), String> {
    let rules: Result<Vec<_>, _> = (text.split(','))
        .map(str::trim)
        .filter(|rule| !rule.is_empty())
        .map(parse)
        .collect();
    let rules = rules?;
    ARMED.store(if rules.is_empty() { 1 } else { 2 }, Ordering::Relaxed);
    *RULES.write().unwrap_or_else(|e| e.into_inner()) = rules;
    Ok(())
}

fn parse(rule: &str) -> Result<Rule, String> {
    let usage = || {
        format!("'{rule}' is not function:N:ERROR, such as cuMemAlloc:2:CUDA_ERROR_OUT_OF_MEMORY")
    };
    let parts: Vec<_> = rule.split(':').collect();
    let [function, which, error] = parts[..] else {
        return Err(usage());
    };
    let (number, from) = match which.strip_suffix('+') {
        Some(number) => (number, true),
        None => (which, false),
    };
    let n = number.parse().ok().filter(|n| *n > 0).ok_or_else(usage)?;
    Ok(Rule {
        function: function.into(),
        which: if from { Which::From(n) } else { Which::Nth(n) },
        error: Error::from_name(error)
            .ok_or_else(|| format!("'{rule}': no result code is called {error}"))?,
        calls: AtomicU64::new(0),
    })
}

/// The error that this call of `function` is to return, if any.
pub(crate) fn strike(function: &str) -> Option<Error> {
    crate::driver::environment();
    let rules = RULES.read().unwrap_or_else(|e| e.into_inner());
    let mut error = None;
    for rule in rules.iter().filter(|rule| names(&rule.function, function)) {
        let call = rule.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let hit = match rule.which {
            Which::Nth(n) => call == n,
            Which::From(n) => call >= n,
        };
        if hit {
            error = error.or(Some(rule.error));
        }
    }
    if error.is_some() && is_traced() {
        trace(function, error.map_or(0, Error::code));
    }
    error
}

/// Whether a rule for `wanted` concerns the exported function `name`.
fn names(wanted: &str, name: &str) -> bool {
    wanted == "*" || wanted == name || wanted == unversioned(name)
}

/// `cuMemAlloc_v2` and `cuMemcpyHtoD_v2_ptds` without their suffixes.
fn unversioned(name: &str) -> &str {
    let name = name.trim_end_matches("_ptsz").trim_end_matches("_ptds");
    match name.rsplit_once("_v") {
        Some((base, digits))
            if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) =>
        {
            base
        }
        _ => name,
    }
}

/// One line on standard error.
pub(crate) fn trace(function: &str, code: u32) {
    let name = error::name(code)
        .and_then(|n| n.to_str().ok())
        .unwrap_or("?");
    let _ = writeln!(std::io::stderr(), "ptxemu: {function} -> {name}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        let rule = parse("cuModuleLoadDataEx:2:CUDA_ERROR_OUT_OF_MEMORY").unwrap();
        assert_eq!(
            (rule.which, rule.error),
            (Which::Nth(2), Error::OUT_OF_MEMORY)
        );
        assert_eq!(parse("*:3+:UNKNOWN").unwrap().which, Which::From(3));
        for bad in [
            "cuInit",
            "cuInit:0:UNKNOWN",
            "cuInit:x:UNKNOWN",
            "cuInit:1:NO_SUCH",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn suffixes_do_not_matter() {
        assert!(names("cuMemAlloc", "cuMemAlloc_v2"));
        assert!(names("cuMemcpyHtoD", "cuMemcpyHtoD_v2_ptds"));
        assert!(names("cuMemAlloc_v2", "cuMemAlloc_v2"));
        assert!(!names("cuMemAlloc", "cuMemAllocAsync"));
    }
}
