//! How a price compares: with bounds that no kernel can beat, with what bounds this one, and with published times.

use super::figures;
use crate::model::published::{self, Point};
use crate::model::speed_of_light::{CONTEST_TB_S, ENTRANT_TB_S, MEASURED_TB_S, math_us, memory_us};
use crate::model::{Machine, Price, price};
use crate::plan::Plan;
use crate::plan::target::Family;
use serde::Serialize;

/// Bytes, operations and times of one set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Roofline {
    /// Bytes that must cross the memory bus: operands, scales and C once.
    pub bytes: u64,
    /// Multiplications and additions.
    pub flops: u64,
    /// Operations for each byte.
    pub flops_per_byte: f64,
    /// Bytes that the plan reads from device memory, predicted.
    pub read_bytes: u64,
    /// Bytes that its loads ask for, L2 hits included.
    pub requested_bytes: u64,
    /// Bytes of C.
    pub stored_bytes: u64,
    /// The times, bounds first.
    pub bars: Vec<Bar>,
    /// The share of the predicted time that memory alone needs, at the bandwidth of the machine's constants.
    pub memory_share: f64,
    /// How far the model is from published times that it was not fitted on, at most; of Blackwell only.
    pub model_error: Option<f64>,
    /// What limits the meaning of these numbers, in words.
    pub caveats: Vec<String>,
}

/// One time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bar {
    /// What takes it.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Microseconds.
    pub us: f64,
}

/// What a time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// No kernel can beat it.
    Bound,
    /// This plan cannot beat it, says the model.
    Limit,
    /// The model's price of this plan.
    Predicted,
    /// A published time: its author's claim.
    Published,
    /// The model's price of a published kernel.
    PricedPublished,
}

impl Kind {
    /// For legends.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Bound => "bounds for any kernel",
            Kind::Limit => "limits of this plan, modelled",
            Kind::Predicted => "predicted",
            Kind::PricedPublished => "published kernel, priced by the model",
            Kind::Published => "published",
        }
    }
}

pub(super) fn roofline(plan: &Plan, ours: &Price, machine: &Machine) -> Roofline {
    let set = &plan.set;
    let (bytes, flops) = (set.bytes_moved(), set.flops() as u64);
    let published = published_kernels(plan);
    let mut bars = bounds(plan, machine);
    bars.extend(limits(ours));
    bars.push(bar("this plan, predicted", Kind::Predicted, ours.total_us));
    bars.extend(published.iter().flat_map(|p| of_published(p, machine)));
    let memory = memory_us(set, machine.dram_tb_s.value);
    let model_error = (plan.target.family == Family::Blackwell).then(|| held_out_error(machine));
    Roofline {
        bytes,
        flops,
        flops_per_byte: ratio(flops as f64, bytes as f64),
        read_bytes: ours.read_bytes,
        requested_bytes: ours.requested_bytes,
        stored_bytes: ours.stored_bytes,
        bars,
        memory_share: ratio(memory, ours.total_us),
        model_error,
        caveats: caveats(machine, model_error, !published.is_empty()),
    }
}

fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

fn bar(name: impl Into<String>, kind: Kind, us: f64) -> Bar {
    Bar {
        name: name.into(),
        kind,
        us,
    }
}

fn bounds(plan: &Plan, machine: &Machine) -> Vec<Bar> {
    let memory = |tb_s: f64, whose: &str| {
        let name = format!("memory at {tb_s} TB/s, {whose}");
        bar(name, Kind::Bound, memory_us(&plan.set, tb_s))
    };
    let clock = machine.clock_ghz.value;
    let math = bar(
        format!("tensor cores at {clock} GHz"),
        Kind::Bound,
        math_us(&plan.set, machine, clock),
    );
    let mut bars = match plan.target.family {
        Family::Blackwell => vec![
            memory(CONTEST_TB_S, "the contest's bound"),
            memory(MEASURED_TB_S, "a B200 as measured"),
            memory(ENTRANT_TB_S, "the contest's B200"),
        ],
        Family::Hopper => vec![memory(machine.dram_tb_s.value, "published for reads")],
    };
    bars.push(math);
    bars
}

fn limits(ours: &Price) -> Vec<Bar> {
    [
        ("this plan: memory, reads and writes", ours.dram_us),
        ("this plan: intake of the busiest SM", ours.fill_us),
        ("this plan: busiest tensor core", ours.tensor_us),
    ]
    .map(|(name, us)| bar(name, Kind::Limit, us))
    .to_vec()
}

/// The published kernels for exactly these sizes, the fastest first.
fn published_kernels(plan: &Plan) -> Vec<Point> {
    if plan.target.family != Family::Blackwell {
        return Vec::new();
    }
    let problems = published::leaderboard();
    let Some((problem, _)) = problems
        .iter()
        .find(|(_, groups)| *groups == plan.set.groups)
    else {
        return Vec::new();
    };
    let mut points = published::points();
    points.retain(|p| p.name.split(' ').nth(1) == Some(*problem) && !p.name.starts_with("GEMM"));
    points.sort_by(|a, b| a.published_us.total_cmp(&b.published_us));
    points.truncate(2);
    points
}

fn of_published(point: &Point, machine: &Machine) -> [Bar; 2] {
    let design = point.name.split(' ').next().unwrap_or_default();
    let name = if published::is_winner(point) {
        format!("contest's winner ({design})")
    } else {
        format!("{design} of the same author")
    };
    let priced = price(&point.workload, machine).total_us;
    [
        bar(
            format!("{name}, published"),
            Kind::Published,
            point.published_us,
        ),
        bar(
            format!("{name}, priced by the model"),
            Kind::PricedPublished,
            priced,
        ),
    ]
}

/// The largest relative error on published times that no constant was fitted on.
fn held_out_error(machine: &Machine) -> f64 {
    let error = |p: &Point| (price(&p.workload, machine).total_us / p.published_us - 1.0).abs();
    let points = published::points();
    let held_out = points.iter().filter(|p| !p.fitted);
    held_out.map(error).fold(0.0, f64::max)
}

fn caveats(machine: &Machine, model_error: Option<f64>, has_published: bool) -> Vec<String> {
    let mut caveats = Vec::new();
    match model_error {
        Some(error) => caveats.push(format!(
            "The model is within {:.0} % of every published time that it was not fitted on. Nobody has published a \
             kernel that overlaps launches, so what overlap saves is uncertain by about 1 us.",
            (100.0 * error).ceil()
        )),
        None => caveats.push(format!(
            "Nothing is calibrated on {}: its memory is as published, most other constants are taken over from B200. \
             Trust comparisons of plans more than times.",
            machine.name
        )),
    }
    if has_published {
        caveats.push(format!(
            "Published times are their authors' claims on the contest's machine. Below {:.0} us they are quantised to \
             multiples of {} us: of {} such times in the sources, {} lie within {} us above a multiple. A short time is \
             therefore uncertain by up to 2 us, and steps between short times are partly steps of that ladder.",
            published::LADDER_BELOW_US,
            published::LADDER_STEP_US,
            published::LADDER_TIMES,
            published::LADDER_TIMES_ON_A_RUNG,
            published::LADDER_RUNG_US,
        ));
    }
    caveats
}

impl Roofline {
    /// Bytes and operations in words.
    pub fn summary(&self) -> String {
        let rest = if self.requested_bytes > self.read_bytes {
            ": the rest comes from L2"
        } else {
            ""
        };
        format!(
            "{} must cross the memory bus once for {}, {:.0} FLOP a byte. The plan reads {}, stores {}, and its loads ask \
             for {}{rest}. Memory alone, at the model's bandwidth, takes {:.0} % of the predicted time.",
            figures::bytes(self.bytes),
            figures::flops(self.flops),
            self.flops_per_byte,
            figures::bytes(self.read_bytes),
            figures::bytes(self.stored_bytes),
            figures::bytes(self.requested_bytes),
            100.0 * self.memory_share
        )
    }
}
