//! What `verify` reports: a table, JSON, and a line per failure.

use nvfp4gen::verify::{GroupVerdict, SetVerdict};
use serde_json::json;

use super::schedule::ScheduleArg;
use super::table::{Table, count};

/// What came of one set.
pub struct Outcome {
    pub name: String,
    pub key: String,
    pub runs: Vec<Run>,
    pub seconds: f64,
}

/// What came of one set under one schedule: a verdict, or why there is none.
pub struct Run {
    pub schedule: ScheduleArg,
    pub verdict: Result<SetVerdict, String>,
}

impl Run {
    fn passed(&self) -> bool {
        self.verdict.as_ref().is_ok_and(SetVerdict::passed)
    }
}

/// One line for each set and schedule that did not pass.
pub fn failures(outcomes: &[Outcome]) -> Vec<String> {
    let mut lines = Vec::new();
    for outcome in outcomes {
        for run in outcome.runs.iter().filter(|run| !run.passed()) {
            let what = match &run.verdict {
                Ok(verdict) => wrong_groups(verdict),
                Err(error) => error.clone(),
            };
            lines.push(format!("set `{}`, {}: {what}", outcome.name, run.schedule));
        }
    }
    lines
}

fn wrong_groups(verdict: &SetVerdict) -> String {
    let wrong = verdict.groups.iter().filter(|group| !group.passed());
    let line = |group: &GroupVerdict| {
        let first = group
            .first
            .map(|offence| offence.to_string())
            .unwrap_or_default();
        format!(
            "{} of {} elements are wrong; {first}",
            group.offences, group.elements
        )
    };
    wrong.map(line).collect::<Vec<_>>().join("\n  ")
}

/// The outcomes as a table.
pub fn table_text(outcomes: &[Outcome]) -> String {
    let mut table = Table::new(&[
        "set", "elements", "max ulps", "of bound", "seconds", "result",
    ]);
    for outcome in outcomes {
        let totals: Vec<_> = outcome
            .runs
            .iter()
            .filter_map(|run| Some(run.verdict.as_ref().ok()?.total()))
            .collect();
        let largest = |value: fn(&GroupVerdict) -> f64| match totals.is_empty() {
            true => "-".to_owned(),
            false => format!("{:.3}", totals.iter().map(value).fold(0.0, f64::max)),
        };
        table.row(vec![
            outcome.name.clone(),
            totals
                .first()
                .map_or("-".to_owned(), |total| count(total.elements)),
            largest(|total| total.max_ulps),
            largest(|total| total.max_ratio),
            format!("{:.2}", outcome.seconds),
            result(outcome),
        ]);
    }
    let schedules: Vec<String> = outcomes
        .first()
        .into_iter()
        .flat_map(|outcome| &outcome.runs)
        .map(|run| run.schedule.to_string())
        .collect();
    format!(
        "{}\nOn the emulated GPU, schedules: {}.\n",
        table.render(),
        schedules.join(", ")
    )
}

fn result(outcome: &Outcome) -> String {
    let name = |run: &Run| match run.verdict {
        Ok(_) => format!("WRONG ({})", run.schedule),
        Err(_) => format!("STOPPED ({})", run.schedule),
    };
    let bad: Vec<String> = outcome
        .runs
        .iter()
        .filter(|run| !run.passed())
        .map(name)
        .collect();
    if bad.is_empty() {
        "ok".to_owned()
    } else {
        bad.join(", ")
    }
}

/// The outcomes as JSON.
pub fn json_text(target: &str, seed: u64, outcomes: &[Outcome]) -> String {
    let sets: Vec<_> = outcomes
        .iter()
        .map(|outcome| {
            let runs: Vec<_> = outcome.runs.iter().map(json_run).collect();
            json!({ "name": outcome.name, "key": outcome.key, "seconds": outcome.seconds, "runs": runs })
        })
        .collect();
    let report = json!({
        "device": "emulated", "target": target, "seed": seed,
        "passed": failures(outcomes).is_empty(), "sets": sets,
    });
    format!("{report:#}\n")
}

/// Ratios of wrong elements may be infinite, which JSON cannot say: they become null.
fn json_run(run: &Run) -> serde_json::Value {
    let schedule = run.schedule.to_string();
    match &run.verdict {
        Err(error) => json!({ "schedule": schedule, "passed": false, "error": error }),
        Ok(verdict) => {
            let total = verdict.total();
            let first = verdict.groups.iter().find_map(|group| group.first);
            json!({
                "schedule": schedule, "passed": verdict.passed(), "elements": total.elements,
                "max_ulps": total.max_ulps, "max_ratio": total.max_ratio, "wrong": total.offences,
                "first_wrong": first.map(|f| json!({ "group": f.group, "row": f.row, "column": f.column })),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nvfp4gen::verify::Offence;

    fn group(group: usize, offences: u64) -> GroupVerdict {
        let offence = Offence {
            group,
            row: 3,
            column: 5,
            got: 2.0,
            exact: 1.0,
            bound: 0.25,
        };
        GroupVerdict {
            group,
            elements: 1000,
            max_ulps: if offences > 0 { f64::INFINITY } else { 0.5 },
            max_ratio: if offences > 0 { 4.0 } else { 0.96 },
            offences,
            first: (offences > 0).then_some(offence),
        }
    }

    fn outcome(name: &str, verdicts: Vec<Result<Vec<GroupVerdict>, String>>) -> Outcome {
        let schedules = [ScheduleArg::Eager, ScheduleArg::Random(7)];
        let run = |(schedule, verdict): (ScheduleArg, Result<Vec<GroupVerdict>, String>)| Run {
            schedule,
            verdict: verdict.map(|groups| SetVerdict {
                name: name.into(),
                groups,
            }),
        };
        let runs = schedules.into_iter().zip(verdicts).map(run).collect();
        Outcome {
            name: name.into(),
            key: format!("key_of_{name}"),
            runs,
            seconds: 1.25,
        }
    }

    fn outcomes() -> Vec<Outcome> {
        let good = || Ok(vec![group(0, 0), group(1, 0)]);
        vec![
            outcome("good", vec![good(), good()]),
            outcome("wrong", vec![good(), Ok(vec![group(0, 0), group(1, 2)])]),
            outcome(
                "stopped",
                vec![
                    Err("fault: line 7: deadlock".into()),
                    Err("fault: line 9: trap".into()),
                ],
            ),
        ]
    }

    #[test]
    fn the_table() {
        insta::assert_snapshot!(table_text(&outcomes()));
    }

    #[test]
    fn every_failure_has_its_line() {
        let expected = [
            "set `wrong`, random:7: 2 of 1000 elements are wrong; group 1, row 3, column 5: got 2, exact 1, off by \
             1.000e0 where 2.500e-1 is permitted",
            "set `stopped`, eager: fault: line 7: deadlock",
            "set `stopped`, random:7: fault: line 9: trap",
        ];
        assert_eq!(failures(&outcomes()), expected);
        assert_eq!(failures(&outcomes()[..1]), [""; 0]);
    }

    #[test]
    fn json_says_the_same() {
        let json: serde_json::Value =
            serde_json::from_str(&json_text("sm_100a", 3, &outcomes())).unwrap();
        assert_eq!((&json["passed"], &json["seed"]), (&false.into(), &3.into()));
        let wrong = &json["sets"][1]["runs"][1];
        assert_eq!(
            (&wrong["wrong"], &wrong["first_wrong"]["column"]),
            (&2.into(), &5.into())
        );
        assert_eq!(wrong["max_ulps"], serde_json::Value::Null, "infinity");
        assert_eq!(
            json["sets"][2]["runs"][0]["error"],
            "fault: line 7: deadlock"
        );
    }
}
