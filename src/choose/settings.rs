//! Choices as names and values: for comparing them, printing them, and reading pinned ones.

use crate::plan::schedule::Order;
use crate::plan::tiling::Widths;
use crate::plan::{Illegal, Plan, Target, TargetPlan, sm_90a, sm_100a};
use crate::problem::{Set, Setting};

/// The choices of any target.
#[derive(Clone, Debug, PartialEq)]
pub enum Choices {
    /// Of a Blackwell kernel.
    Blackwell(sm_100a::Choices),
    /// Of a Hopper kernel.
    Hopper(sm_90a::Choices),
}

/// A setting that no plan of the target has, or cannot have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSetting {
    /// The setting's name.
    pub name: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

const ORDERS: [(&str, Order); 4] = [
    ("runs", Order::Runs),
    ("columns", Order::Columns),
    ("balanced", Order::Balanced),
    ("stream", Order::Stream),
];
const REDUCTIONS: [(&str, sm_100a::Reduction); 2] = [
    ("cluster", sm_100a::Reduction::Cluster),
    ("workspace", sm_100a::Reduction::Workspace),
];
const HINTS: [(&str, sm_100a::CacheHint); 3] = [
    ("normal", sm_100a::CacheHint::Normal),
    ("evict-first", sm_100a::CacheHint::EvictFirst),
    ("evict-last", sm_100a::CacheHint::EvictLast),
];

impl Choices {
    /// The choices that a plan was made with.
    pub fn of(plan: &Plan) -> Self {
        match &plan.kernel {
            TargetPlan::Sm100a(kernel) => Choices::Blackwell(kernel.choices.clone()),
            TargetPlan::Sm90a(kernel) => Choices::Hopper(kernel.choices),
        }
    }

    /// Makes the plan.
    ///
    /// # Errors
    /// The rule that the choices break.
    pub fn plan(&self, set: &Set, target: Target) -> Result<Plan, Illegal> {
        match self {
            Choices::Blackwell(choices) => sm_100a::plan(set, target, choices.clone()),
            Choices::Hopper(choices) => sm_90a::plan(set, target, *choices),
        }
    }

    /// Every choice with its name.
    pub fn settings(&self) -> Vec<(&'static str, Setting)> {
        match self {
            Choices::Blackwell(c) => vec![
                ("widths", widths(&c.widths)),
                ("pair", Setting::Flag(c.pair)),
                ("multicast", Setting::Flag(c.multicast)),
                ("split_k", Setting::Number(c.split_k)),
                ("reduction", word(&REDUCTIONS, c.reduction)),
                ("ctas", Setting::Number(c.ctas)),
                ("order", word(&ORDERS, c.order)),
                ("k_block", Setting::Number(c.k_block)),
                ("accumulators", Setting::Number(c.accumulators)),
                ("chunk", Setting::Number(c.chunk)),
                ("prefetch", Setting::Number(c.prefetch)),
                ("weights_hint", word(&HINTS, c.weights_hint)),
                ("tokens_hint", word(&HINTS, c.tokens_hint)),
            ],
            Choices::Hopper(c) => vec![
                ("widths", Setting::Number(c.max_width)),
                ("ctas", Setting::Number(c.ctas)),
            ],
        }
    }

    /// The same choices with one of them set anew.
    ///
    /// # Errors
    /// If there is no such choice, or it cannot have that value.
    pub fn with(mut self, name: &str, value: &Setting) -> Result<Self, BadSetting> {
        let known: Vec<_> = self.settings().iter().map(|(name, _)| *name).collect();
        let bad = |message: String, remedy: String| BadSetting {
            name: name.to_owned(),
            message,
            remedy,
        };
        let wants = |what: &str| {
            let message = format!("`{name}` cannot be `{value}`");
            bad(message, format!("it is {what}"))
        };
        let number = || match value {
            Setting::Number(number) => Ok(*number),
            _ => Err(wants("one number")),
        };
        let flag = || match value {
            Setting::Flag(flag) => Ok(*flag),
            _ => Err(wants("true or false")),
        };
        match (&mut self, name) {
            (Choices::Blackwell(c), "widths") => {
                c.widths = match value {
                    Setting::Number(most) => Widths::UpTo(*most),
                    Setting::Numbers(each) => Widths::Each(each.clone()),
                    _ => {
                        return Err(wants(
                            "the most tokens of a tile, or a list with those of each group",
                        ));
                    }
                }
            }
            (Choices::Blackwell(c), "pair") => c.pair = flag()?,
            (Choices::Blackwell(c), "multicast") => c.multicast = flag()?,
            (Choices::Blackwell(c), "split_k") => c.split_k = number()?,
            (Choices::Blackwell(c), "reduction") => {
                c.reduction = of_word(&REDUCTIONS, value).map_err(|w| wants(&w))?;
            }
            (Choices::Blackwell(c), "ctas") => c.ctas = number()?.max(1),
            (Choices::Blackwell(c), "order") => {
                c.order = of_word(&ORDERS, value).map_err(|w| wants(&w))?
            }
            (Choices::Blackwell(c), "k_block") => c.k_block = number()?,
            (Choices::Blackwell(c), "accumulators") => c.accumulators = number()?,
            (Choices::Blackwell(c), "chunk") => c.chunk = number()?,
            (Choices::Blackwell(c), "prefetch") => c.prefetch = number()?,
            (Choices::Blackwell(c), "weights_hint") => {
                c.weights_hint = of_word(&HINTS, value).map_err(|w| wants(&w))?;
            }
            (Choices::Blackwell(c), "tokens_hint") => {
                c.tokens_hint = of_word(&HINTS, value).map_err(|w| wants(&w))?;
            }
            (Choices::Hopper(c), "widths") => c.max_width = number()?,
            (Choices::Hopper(c), "ctas") => c.ctas = number()?.max(1),
            _ => {
                let message = format!("plans have no choice `{name}`");
                return Err(bad(
                    message,
                    format!("the choices are {}", known.join(", ")),
                ));
            }
        }
        Ok(self)
    }

    /// The same choices on a target of fewer SMs.
    pub(super) fn on(mut self, target: &Target) -> Self {
        match &mut self {
            Choices::Blackwell(c) => {
                let most = (target.sms / c.side_by_side()).max(1);
                if c.ctas > most {
                    // Nobody is idle there.
                    c.prefetch = 0;
                }
                c.ctas = c.ctas.min(most).max(1);
            }
            Choices::Hopper(c) => c.ctas = c.ctas.min(target.sms).max(1),
        }
        self
    }

    /// What differs, as name, value here and value there.
    pub fn differences(&self, other: &Choices) -> Vec<(&'static str, String, String)> {
        let there = other.settings();
        let differs = |(name, value): (&'static str, Setting)| {
            let other = there.iter().find(|(n, _)| *n == name);
            other
                .filter(|(_, theirs)| *theirs != value)
                .map(|(_, theirs)| (name, value.to_string(), theirs.to_string()))
        };
        self.settings().into_iter().filter_map(differs).collect()
    }
}

fn widths(widths: &Widths) -> Setting {
    match widths {
        Widths::UpTo(most) => Setting::Number(*most),
        Widths::Each(each) => Setting::Numbers(each.clone()),
    }
}

fn word<T: Copy + PartialEq>(words: &[(&str, T)], value: T) -> Setting {
    let found = words.iter().find(|(_, v)| *v == value);
    Setting::Word(found.map_or("", |(word, _)| *word).to_owned())
}

fn of_word<T: Copy>(words: &[(&str, T)], value: &Setting) -> Result<T, String> {
    let found = words
        .iter()
        .find(|(word, _)| matches!(value, Setting::Word(w) if w == word));
    let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
    found
        .map(|(_, value)| *value)
        .ok_or_else(|| format!("one of {}", names.join(", ")))
}
