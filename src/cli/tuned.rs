//! What `tune` found, as a table and as JSON.

use std::path::Path;

use nvfp4gen::choose::Choices;
use nvfp4gen::plan::{Plan, Target};
use nvfp4gen::problem::Set;
use nvfp4gen::runtime::Device;
use nvfp4gen::runtime::bench::Timed;
use serde_json::{Value, json};

use super::table::Table;

/// A plan that was tried.
pub struct Tried {
    pub plan: Plan,
    pub predicted_us: f64,
    /// The file pins it already.
    pub pinned: bool,
    pub outcome: Outcome,
}

/// What came of it.
pub enum Outcome {
    /// It is right. Its time, where there is a GPU.
    Right(Option<Timed>),
    /// It computed something wrong.
    Wrong,
    /// It could not be run.
    Failed(String),
}

/// A set whose plans were tried.
pub struct Tuned {
    pub set: Set,
    pub tried: Vec<Tried>,
    /// The index of the best, if any is right.
    pub winner: Option<usize>,
    /// It has an entry that was measured, which no price replaces.
    pub keeps: bool,
}

impl Tried {
    /// What counts: the measured time, or the price where nothing can be measured. None if it is not right.
    pub fn us(&self) -> Option<f64> {
        match &self.outcome {
            Outcome::Right(timed) => Some(timed.map_or(self.predicted_us, |timed| timed.us)),
            Outcome::Wrong | Outcome::Failed(_) => None,
        }
    }
}

/// Everything that is said at the end.
pub struct Report<'a> {
    pub file: &'a Path,
    pub device: &'a Device,
    pub target: Target,
    pub tuned: &'a [Tuned],
    /// The entries as they stand in the file, or would.
    pub entries: String,
    pub written: bool,
}

impl Report<'_> {
    /// A row for each plan, and what becomes of the winners.
    pub fn text(&self) -> String {
        let mut table = Table::new(&[
            "set",
            "rank",
            "predicted us",
            "measured us",
            "early",
            "result",
            "not as the first",
        ]);
        for tuned in self.tuned {
            let first = Choices::of(&tuned.tried[0].plan);
            for (index, tried) in tuned.tried.iter().enumerate() {
                table.row(cells(tuned, index, tried, &first));
            }
        }
        let mut text = table.render();
        text += &format!("\n{}\n", self.heading());
        for tuned in self.tuned.iter().filter(|tuned| tuned.keeps) {
            let name = &tuned.set.name;
            text += &format!("{name}: its entry was measured and stays as it is.\n");
        }
        let file = self.file.display();
        text += &match (self.entries.is_empty(), self.written) {
            (true, _) => format!("{file} stays as it is.\n"),
            (false, true) => format!("{file} now pins:\n\n{}", self.entries),
            (false, false) => format!("--write would pin in {file}:\n\n{}", self.entries),
        };
        text
    }

    fn heading(&self) -> String {
        let name = &self.device.properties().name;
        if self.device.is_emulated() {
            format!(
                "{name}, {}: EMULATED, nothing was timed; results were checked, the model's prices decide.",
                self.target
            )
        } else {
            format!(
                "{name}, {}: medians of the contest's protocol.",
                self.target
            )
        }
    }

    /// The same for programs.
    pub fn json(&self) -> String {
        let tried = |tried: &Tried| {
            let choices = Choices::of(&tried.plan).settings();
            let choices: serde_json::Map<String, Value> = choices
                .iter()
                .map(|(name, setting)| ((*name).to_owned(), setting.to_string().into()))
                .collect();
            let timed = match &tried.outcome {
                Outcome::Right(timed) => *timed,
                Outcome::Wrong | Outcome::Failed(_) => None,
            };
            json!({
                "predicted_us": tried.predicted_us, "measured_us": timed.map(|timed| timed.us),
                "programmatic": timed.map(|timed| timed.programmatic), "pinned_before": tried.pinned,
                "result": tried.outcome.word(), "choices": choices,
            })
        };
        let sets: Vec<Value> = self
            .tuned
            .iter()
            .map(|tuned| {
                json!({
                    "name": tuned.set.name, "key": tuned.set.key(), "winner": tuned.winner,
                    "keeps_measured_entry": tuned.keeps,
                    "tried": tuned.tried.iter().map(tried).collect::<Vec<_>>(),
                })
            })
            .collect();
        let report = json!({
            "device": self.device.properties().name, "emulated": self.device.is_emulated(),
            "target": self.target.name, "file": self.file, "written": self.written,
            "entries": self.entries, "sets": sets,
        });
        format!("{report:#}\n")
    }

    /// What is wrong with plans that cannot win, and sets without a winner.
    pub fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for tuned in self.tuned {
            let name = &tuned.set.name;
            for (index, tried) in tuned.tried.iter().enumerate() {
                let rank = index + 1;
                match &tried.outcome {
                    Outcome::Right(_) => {}
                    Outcome::Wrong => {
                        failures.push(format!(
                            "set `{name}`, plan {rank}: it computes wrong results"
                        ));
                    }
                    Outcome::Failed(why) => {
                        failures.push(format!("set `{name}`, plan {rank}: it does not run: {why}"));
                    }
                }
            }
            if tuned.winner.is_none() {
                failures.push(format!(
                    "set `{name}`: no plan is right, so none was pinned"
                ));
            }
        }
        failures
    }
}

fn cells(tuned: &Tuned, index: usize, tried: &Tried, first: &Choices) -> Vec<String> {
    let timed = match &tried.outcome {
        Outcome::Right(timed) => *timed,
        Outcome::Wrong | Outcome::Failed(_) => None,
    };
    let differences = first.differences(&Choices::of(&tried.plan));
    let differences: Vec<String> = differences
        .into_iter()
        .map(|(name, _, value)| format!("{name} {value}"))
        .collect();
    let mut result = tried.outcome.word().to_owned();
    if tuned.winner == Some(index) {
        result += ", wins";
    }
    if tried.pinned {
        result += ", was pinned";
    }
    vec![
        tuned.set.name.clone(),
        (index + 1).to_string(),
        format!("{:.2}", tried.predicted_us),
        timed.map_or("-".to_owned(), |timed| format!("{:.2}", timed.us)),
        timed
            .map_or("-", |t| if t.programmatic { "yes" } else { "no" })
            .to_owned(),
        result,
        differences.join(", "),
    ]
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Outcome::Right(_) => "right",
            Outcome::Wrong => "WRONG",
            Outcome::Failed(_) => "STOPPED",
        }
    }
}
