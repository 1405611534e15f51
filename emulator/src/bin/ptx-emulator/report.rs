//! What a run found, as a table and as JSON.

use std::fmt::Write;

use ptx_emulator::Schedule;
use ptx_emulator::recipe::{Compared, Outcome};
use serde_json::{Value, json};

/// The result of a run; of several, the greatest decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Right,
    Unsupported,
    Wrong,
    Fault,
    Usage,
}

impl Verdict {
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::Right => 0,
            Verdict::Wrong => 1,
            Verdict::Usage => 2,
            Verdict::Fault => 3,
            Verdict::Unsupported => 4,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Verdict::Right => "ok",
            Verdict::Wrong => "wrong",
            Verdict::Usage => "usage",
            Verdict::Fault => "fault",
            Verdict::Unsupported => "unsupported",
        }
    }
}

/// A verdict with its reason.
pub type Failure = (Verdict, String);

/// One data file under one schedule.
pub struct RunResult {
    pub data: String,
    pub schedule: Schedule,
    pub outcome: Result<Outcome, Failure>,
}

/// All of a recipe.
pub struct RecipeResult {
    pub recipe: String,
    /// Why it could not be opened.
    pub error: Option<Failure>,
    pub runs: Vec<RunResult>,
}

impl RunResult {
    fn verdict(&self) -> Verdict {
        match &self.outcome {
            Ok(outcome) if outcome.is_right() => Verdict::Right,
            Ok(_) => Verdict::Wrong,
            Err((verdict, _)) => *verdict,
        }
    }

    /// What is wrong, if anything is.
    fn message(&self) -> Option<String> {
        match &self.outcome {
            Err((_, message)) => Some(message.clone()),
            Ok(outcome) => {
                let wrong: Vec<_> = outcome.compared.iter().filter_map(complaint).collect();
                (!wrong.is_empty()).then(|| wrong.join("; "))
            }
        }
    }
}

impl RecipeResult {
    pub fn verdict(&self) -> Verdict {
        let opening = self.error.iter().map(|(verdict, _)| *verdict);
        let running = self.runs.iter().map(RunResult::verdict);
        opening.chain(running).max().unwrap_or(Verdict::Right)
    }
}

fn complaint(compared: &Compared) -> Option<String> {
    let first = compared.first.as_ref()?;
    let Compared {
        output,
        wrong,
        elements,
        ..
    } = compared;
    Some(format!("{output}: {wrong} of {elements} wrong, {first}"))
}

/// The schedule as `--schedule` takes it.
fn schedule_name(schedule: Schedule) -> String {
    match schedule {
        Schedule::Eager => "eager".into(),
        Schedule::Lazy => "lazy".into(),
        Schedule::Random(seed) => format!("random:{seed}"),
    }
}

/// One line per data file, then one per failing schedule with the way to replay it.
pub fn table(result: &RecipeResult) -> String {
    let mut out = String::new();
    let mut line = |verdict: Verdict, text: String| {
        let _ = writeln!(out, "{:<12}{text}", verdict.name());
    };
    if let Some((verdict, message)) = &result.error {
        line(*verdict, message.clone());
    }
    let (recipe, mut rest) = (&result.recipe, result.runs.as_slice());
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|r| r.data == first.data).count();
        let (runs, later) = rest.split_at(same);
        rest = later;
        let right = runs
            .iter()
            .filter(|r| r.verdict() == Verdict::Right)
            .count();
        let verdict = runs
            .iter()
            .map(RunResult::verdict)
            .max()
            .unwrap_or(Verdict::Right);
        let error = worst_error(runs);
        line(
            verdict,
            format!(
                "{recipe}  {}  {right} of {same} schedules{error}",
                first.data
            ),
        );
        for run in runs {
            if let Some(message) = run.message() {
                let schedule = schedule_name(run.schedule);
                line(run.verdict(), format!("  --schedule {schedule}: {message}"));
            }
        }
    }
    out
}

/// The largest error in parts of what is allowed, if something was compared with a tolerance.
fn worst_error(runs: &[RunResult]) -> String {
    let compared = || {
        runs.iter()
            .flat_map(|r| r.outcome.iter())
            .flat_map(|o| &o.compared)
    };
    if compared().all(|c| c.mode == "bitwise") {
        return ", bitwise".into();
    }
    let worst = compared().map(|c| c.worst).fold(0.0, f64::max);
    format!(", largest error {worst:.2e} of the tolerance")
}

/// Everything, for programs.
pub fn json(results: &[RecipeResult]) -> Value {
    let recipe = |r: &RecipeResult| {
        json!({
            "recipe": r.recipe,
            "verdict": r.verdict().name(),
            "error": r.error.as_ref().map(|(_, message)| message),
            "runs": r.runs.iter().map(run_json).collect::<Vec<_>>(),
        })
    };
    let worst = results
        .iter()
        .map(RecipeResult::verdict)
        .max()
        .unwrap_or(Verdict::Right);
    json!({
        "verdict": worst.name(),
        "recipes": results.iter().map(recipe).collect::<Vec<_>>(),
    })
}

fn run_json(run: &RunResult) -> Value {
    let outcome = run.outcome.as_ref().ok();
    json!({
        "data": run.data,
        "schedule": schedule_name(run.schedule),
        "verdict": run.verdict().name(),
        "message": run.message(),
        "instructions": outcome.map(|o| o.report.counts.instructions),
        "mmas": outcome.map(|o| o.report.counts.mmas),
        "compared": outcome.map(|o| o.compared.iter().map(compared_json).collect::<Vec<_>>()),
    })
}

fn compared_json(c: &Compared) -> Value {
    json!({
        "output": c.output,
        "mode": c.mode,
        "elements": c.elements,
        "wrong": c.wrong,
        "worst_of_tolerance": if c.worst.is_finite() { json!(c.worst) } else { json!("inf") },
    })
}
