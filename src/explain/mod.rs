//! A plan explained: what it does, why it was chosen, where its time should go.
//!
//! [`explain`] turns a [`Choice`] into a [`Report`], plain data that is complete in itself. Three renderers show it:
//! [`text`] for terminals, [`json`] for programs, [`html`] as one page that needs nothing else. They compute nothing but
//! positions on their page.
//!
//! Every time in a report is the model's prediction, but for those of published kernels, which are their authors' claims,
//! and of pinned plans, which whoever pinned them measured.

mod draw;
mod figures;
pub mod html;
pub mod json;
pub mod memories;
pub mod roofline;
pub mod sensitivity;
pub mod text;
pub mod timeline;
pub mod why;
mod words;

use crate::artifact::{LaunchShape, ParameterBlock};
use crate::choose::{self, Choice, Choices};
use crate::model::Price;
use crate::plan::Plan;
use memories::MemoryMap;
use roofline::Roofline;
use sensitivity::Sensitivity;
use serde::Serialize;
use timeline::Timeline;
use why::Why;

/// Everything about one set's plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The set's name.
    pub name: String,
    /// Its key.
    pub key: String,
    /// The target.
    pub target: &'static str,
    /// The machine whose constants the prices rest on.
    pub machine: &'static str,
    /// Where the sizes come from, and what else the reader should know first.
    pub notes: Vec<String>,
    /// The groups.
    pub groups: Vec<GroupFacts>,
    /// Type of C.
    pub output: &'static str,
    /// Whether weights may change while a kernel is being launched.
    pub weights: &'static str,
    /// The plan in words, a topic each.
    pub words: Vec<Paragraph>,
    /// The choices behind it, by name.
    pub choices: Vec<Setting>,
    /// Tiles of all groups, parts of split sums counted.
    pub tiles: usize,
    /// Grid, block, cluster, dynamic shared memory.
    pub launch: LaunchShape,
    /// Why this plan.
    pub why: Why,
    /// What a call is predicted to take, and what that is made of.
    pub time: Time,
    /// How that compares.
    pub roofline: Roofline,
    /// The SMs over time.
    pub timeline: Timeline,
    /// Shared memory, a stage of it, tensor memory.
    pub memories: Vec<MemoryMap>,
    /// What a wrong constant would change.
    pub sensitivity: Sensitivity,
    /// Tensor maps and pointers.
    pub parameters: ParameterBlock,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupFacts {
    /// Tokens.
    pub m: u32,
    /// Weight rows.
    pub n: u32,
    /// Length of the sum.
    pub k: u32,
    /// Tokens of each token tile; empty if there are none.
    pub token_tiles: Vec<u32>,
    /// Tiles along N.
    pub weight_tiles: u32,
}

/// One topic in words.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Paragraph {
    /// The topic.
    pub topic: &'static str,
    /// What there is to say.
    pub text: String,
}

/// A choice with its value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// The choice.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}

/// Where the time of a call should go.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Time {
    /// Microseconds from one launch to the next.
    pub predicted_us: f64,
    /// Where they go on the worker that is through last, in order; they sum up to the prediction. The first is negative
    /// where launches overlap.
    pub parts: Vec<Part>,
    /// What the price takes for granted, and how to read the parts.
    pub text: String,
}

/// A part of the time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Part {
    /// What happens.
    pub name: &'static str,
    /// For how long.
    pub us: f64,
}

/// Explains a choice.
pub fn explain(choice: &Choice) -> Report {
    let (plan, price) = (&choice.plan, &choice.price);
    let machine = choose::machine(&plan.target);
    let part = |(name, us)| Part { name, us };
    Report {
        name: plan.set.name.clone(),
        key: plan.set.key(),
        target: plan.target.name,
        machine: machine.name,
        notes: Vec::new(),
        groups: groups(plan),
        output: plan.set.output.name(),
        weights: plan.set.weights.name(),
        words: words::words(plan, price),
        choices: settings(plan),
        tiles: plan.schedule.tiles.len(),
        launch: plan.launch.clone(),
        why: why::why(choice),
        time: Time {
            predicted_us: price.total_us,
            parts: price.parts.named().map(part).to_vec(),
            text: time_text(price),
        },
        roofline: roofline::roofline(plan, price, &machine),
        timeline: timeline::timeline(plan, price, &machine),
        memories: memories::maps(plan),
        sensitivity: sensitivity::sensitivity(choice, &machine),
        parameters: plan.parameters.clone(),
    }
}

fn time_text(price: &Price) -> String {
    let early = if price.parts.launch_us < 0.0 {
        " A worker may start before the launch before has ended, and wait for it in its prologue: then the launch counts as \
         negative."
    } else {
        ""
    };
    format!("Assumed: {}.{early}", price.assumptions())
}

fn settings(plan: &Plan) -> Vec<Setting> {
    let setting = |(name, value): (_, crate::problem::Setting)| Setting {
        name,
        value: value.to_string(),
    };
    Choices::of(plan)
        .settings()
        .into_iter()
        .map(setting)
        .collect()
}

fn groups(plan: &Plan) -> Vec<GroupFacts> {
    let facts = |(index, group): (u32, &crate::problem::Group)| {
        let tiling = plan.tilings.iter().position(|t| t.group == index);
        let rows = |t: &&crate::plan::tiling::TokenTile| Some(t.tiling) == tiling;
        GroupFacts {
            m: group.m,
            n: group.n,
            k: group.k,
            token_tiles: plan
                .token_tiles
                .iter()
                .filter(rows)
                .map(|t| t.rows)
                .collect(),
            weight_tiles: tiling.map_or(0, |t| plan.tilings[t].weight_tiles),
        }
    };
    (0..).zip(&plan.set.groups).map(facts).collect()
}
