//! `verify --mutants`: kernels with one thing broken, each of which must show.

use std::io::{Write, stdout};
use std::time::Instant;

use nvfp4gen::problem::Set;
use nvfp4gen::trial::{self, Finding, MutantVerdict};
use rayon::ThreadPool;
use serde_json::json;

use super::failure::Failure;
use super::progress::Progress;
use super::table::Table;
use super::verify::VerifyArgs;

/// The mutants of one set's kernel.
struct Score {
    name: String,
    verdicts: Vec<MutantVerdict>,
    seconds: f64,
}

/// Runs the mutants of every set and reports the score; any survivor is a failure.
pub fn run(args: &VerifyArgs, sets: &[Set], pool: &ThreadPool) -> Result<(), Failure> {
    let progress = Progress::new("mutants of", sets.len());
    let score = |set: &Set| progress.step(&set.name, || score_set(args, set));
    let scores: Vec<Score> =
        pool.install(|| sets.iter().map(score).collect::<Result<_, Failure>>())?;
    drop(progress);
    let text = if args.json {
        json_text(&scores)
    } else {
        table_text(args, &scores)
    };
    stdout().write_all(text.as_bytes())?;
    let survivors: Vec<String> = scores.iter().flat_map(Score::survivors).collect();
    match survivors.is_empty() {
        true => Ok(()),
        false => Err(Failure::Check(survivors.join("\nerror: "))),
    }
}

fn score_set(args: &VerifyArgs, set: &Set) -> Result<Score, Failure> {
    let start = Instant::now();
    let kernel = args.compile(set)?;
    let inputs = args.inputs(set)?;
    let schedules: Vec<_> = args.schedules().into_iter().map(Into::into).collect();
    let verdicts = trial::try_mutants(&kernel, set, &inputs, &schedules)
        .map_err(|error| Failure::Check(format!("set `{}`: {error}", set.name)))?;
    Ok(Score {
        name: set.name.clone(),
        verdicts,
        seconds: start.elapsed().as_secs_f64(),
    })
}

impl Score {
    fn count(&self, kind: fn(&Finding) -> bool) -> usize {
        self.verdicts.iter().filter(|v| kind(&v.finding)).count()
    }

    fn survivors(&self) -> impl Iterator<Item = String> {
        let survived = self
            .verdicts
            .iter()
            .filter(|v| v.finding == Finding::Survived);
        survived.map(|v| format!("set `{}`: {v}", self.name))
    }
}

fn seen(finding: &Finding) -> bool {
    matches!(finding, Finding::Seen { .. })
}

fn equivalent(finding: &Finding) -> bool {
    matches!(finding, Finding::Equivalent(_))
}

fn survived(finding: &Finding) -> bool {
    *finding == Finding::Survived
}

fn table_text(args: &VerifyArgs, scores: &[Score]) -> String {
    let mut table = Table::new(&[
        "set",
        "mutants",
        "seen",
        "equivalent",
        "survived",
        "seconds",
    ]);
    for score in scores {
        table.row(vec![
            score.name.clone(),
            score.verdicts.len().to_string(),
            score.count(seen).to_string(),
            score.count(equivalent).to_string(),
            score.count(survived).to_string(),
            format!("{:.2}", score.seconds),
        ]);
    }
    let schedules: Vec<String> = args.schedules().iter().map(ToString::to_string).collect();
    let mut text = format!(
        "{}\nOn the emulated GPU, {} CTAs at most, schedules: {}.\n",
        table.render(),
        args.target().sms,
        schedules.join(", ")
    );
    let verdicts = scores.iter().flat_map(|score| &score.verdicts);
    for verdict in verdicts.filter(|v| !seen(&v.finding)) {
        text += &format!("{verdict}\n");
    }
    text
}

fn json_text(scores: &[Score]) -> String {
    let mutant = |v: &MutantVerdict| {
        let (finding, detail) = match &v.finding {
            Finding::Seen { schedule, report } => ("seen", format!("{schedule:?}: {report}")),
            Finding::Equivalent(why) => ("equivalent", (*why).to_owned()),
            Finding::Survived => ("survived", String::new()),
        };
        json!({
            "line": v.mutant.line, "edit": v.mutant.edit.to_string(),
            "instruction": v.mutant.instruction, "finding": finding, "detail": detail,
        })
    };
    let sets: Vec<_> = scores
        .iter()
        .map(|score| {
            let mutants: Vec<_> = score.verdicts.iter().map(mutant).collect();
            json!({ "name": score.name, "seconds": score.seconds, "mutants": mutants })
        })
        .collect();
    format!("{:#}\n", json!({ "device": "emulated", "sets": sets }))
}
