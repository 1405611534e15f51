//! Whether a case came out as its header says.

use ptx_emulator::{Fault, Schedule};

use super::case::{Case, Expect, Expected};
use super::emulate::{Outcome, run, schedules};

/// Every line that a report names, the place of the fault first.
fn lines(fault: &Fault) -> Vec<u32> {
    let text = fault.to_string();
    let behind = text.split("line ").skip(1);
    let digits = behind.map(|t| {
        t.split(|c: char| !c.is_ascii_digit())
            .next()
            .unwrap_or_default()
    });
    let named = digits.filter_map(|d| d.parse().ok());
    std::iter::once(fault.site.line).chain(named).collect()
}

/// `None` if the case is as it should be, else what is wrong with it, for the table.
pub fn miss(case: &Case) -> Option<String> {
    let all = schedules(&case.schedules);
    let complaints: Vec<Option<String>> = all.iter().map(|(_, s)| complaint(case, *s)).collect();
    let seen = complaints.iter().any(|c| c.is_none());
    let tolerated = |c: &String| !case.every && seen && c.starts_with(UNSEEN);
    let bad: Vec<usize> = (0..all.len())
        .filter(|&i| complaints[i].as_ref().is_some_and(|c| !tolerated(c)))
        .collect();
    // A wrong report says more than none.
    let telling = |&&i: &&usize| {
        complaints[i]
            .as_ref()
            .is_some_and(|c| !c.starts_with(UNSEEN))
    };
    let first = *bad.iter().find(telling).or(bad.first())?;
    let text = complaints[first].clone().unwrap_or_default();
    Some(format!(
        "{} of {} schedules, e.g. {}: {text}",
        bad.len(),
        all.len(),
        all[first].0
    ))
}

const UNSEEN: &str = "nothing reported";

fn complaint(case: &Case, schedule: Schedule) -> Option<String> {
    match (&case.expect, run(case, schedule)) {
        (_, Outcome::NotRun(why)) => Some(why),
        (Expect::Values(_), Outcome::Completed(wrong)) => {
            (!wrong.is_empty()).then(|| wrong.join("; "))
        }
        (Expect::Values(_), Outcome::Fault(fault)) => Some(format!("false alarm: {fault}")),
        (Expect::Fault(expected), Outcome::Completed(_)) => {
            Some(format!("{UNSEEN}, expected {}", expected.kinds.join("|")))
        }
        (Expect::Fault(expected), Outcome::Fault(fault)) => {
            judge(&fault, expected).map(|why| format!("{why}: {fault}"))
        }
    }
}

/// What the report lacks or has wrong.
fn judge(fault: &Fault, expected: &Expected) -> Option<String> {
    let Expected {
        kinds,
        lines: expected_lines,
        others,
        ..
    } = expected;
    if !kinds.iter().any(|kind| kind == fault.kind.name()) {
        return Some(format!("expected {}", kinds.join("|")));
    }
    let named = lines(fault);
    let party = |line: &u32| expected_lines.contains(line) || others.contains(line);
    if !expected_lines.is_empty() && !party(&named[0]) {
        return Some(format!("expected line {expected_lines:?}"));
    }
    let names_one = |of: &[u32]| of.is_empty() || named.iter().any(|n| of.contains(n));
    if !names_one(expected_lines) || !names_one(others) {
        return Some(format!(
            "does not name lines {expected_lines:?} and {others:?}"
        ));
    }
    let wanted = [expected.cta, expected.warp, expected.lane];
    let found = [
        Some(fault.site.cta[0]),
        Some(fault.site.warp),
        fault.site.lane,
    ];
    let differs = std::iter::zip(wanted, found).any(|(w, f)| w.is_some() && w != f);
    differs.then(|| format!("expected CTA, warp, lane {wanted:?}"))
}
