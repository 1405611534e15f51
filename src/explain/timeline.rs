//! The SMs over time, as the model sees one launch in the steady state.

use super::figures::nanoseconds;
use crate::model::timeline::{Activity, Lane as Modelled};
use crate::model::{Machine, Price};
use crate::plan::Plan;
use serde::Serialize;

/// The workers of a launch over time. Times in microseconds from the end of the previous launch, to the nanosecond.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timeline {
    /// When the first worker starts; before 0 where launches overlap.
    pub from_us: f64,
    /// When the last worker exits.
    pub exit_us: f64,
    /// When its stores have drained: the end of the launch.
    pub end_us: f64,
    /// SMs of the machine.
    pub sms: u32,
    /// SMs that have work.
    pub busy_sms: u32,
    /// SMs of a worker: 1, or 2 for CTAs side by side.
    pub sms_per_worker: u32,
    /// What all SMs together do from one launch to the next, as shares of 1.
    pub shares: Shares,
    /// The workers, in the order in which they are started.
    pub lanes: Vec<Lane>,
    /// Index of the worker that is through last, if there is one.
    pub last: Option<usize>,
}

/// What SM time is spent on. Each moment counts once, for the first that applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Shares {
    /// The tensor core multiplies.
    pub mma: f64,
    /// The epilogue runs and the tensor core does not.
    pub epilogue: f64,
    /// Loads are in flight and nothing else is done.
    pub load: f64,
    /// Set-up.
    pub prologue: f64,
    /// Nothing.
    pub idle: f64,
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lane {
    /// First SM that it runs on, numbered in the order in which SMs become free.
    pub sm: u32,
    /// Tiles that it computes, or parts of tiles.
    pub tiles: u32,
    /// When it starts.
    pub start_us: f64,
    /// When it exits.
    pub end_us: f64,
    /// What it is busy with; those of one kind are in order.
    pub spans: Vec<Span>,
}

/// One stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Span {
    /// What is done.
    pub what: Doing,
    /// From.
    pub start_us: f64,
    /// To.
    pub end_us: f64,
}

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    /// Set-up, or waiting for the previous launch.
    Prologue,
    /// Loads are in flight.
    Load,
    /// The tensor core multiplies.
    Mma,
    /// An accumulator is read, converted and stored.
    Epilogue,
}

impl Doing {
    /// Everything, in the order of its happening.
    pub const ALL: [Doing; 4] = [Doing::Prologue, Doing::Load, Doing::Mma, Doing::Epilogue];

    /// For legends.
    pub fn name(self) -> &'static str {
        match self {
            Doing::Prologue => "set-up, waiting",
            Doing::Load => "loads in flight",
            Doing::Mma => "MMA",
            Doing::Epilogue => "epilogue",
        }
    }
}

pub(super) fn timeline(plan: &Plan, price: &Price, machine: &Machine) -> Timeline {
    let sms_per_worker = match price.lanes.len() as u32 {
        0 => 1,
        workers => (price.busy_sms / workers).max(1),
    };
    let tiles = plan.schedule.by_cta().map(|tiles| tiles.len() as u32);
    let lanes: Vec<Lane> = price
        .lanes
        .iter()
        .zip(tiles)
        .map(|(modelled, tiles)| lane(modelled, tiles, sms_per_worker))
        .collect();
    let from = lanes.iter().map(|l| l.start_us).reduce(f64::min);
    let exit = lanes.iter().map(|l| l.end_us).reduce(f64::max);
    let (from_us, exit_us) = (from.unwrap_or(0.0), exit.unwrap_or(0.0));
    let drain = if lanes.is_empty() {
        0.0
    } else {
        machine.drain_us.value
    };
    let last = (0..lanes.len()).max_by(|&a, &b| lanes[a].end_us.total_cmp(&lanes[b].end_us));
    let mut timeline = Timeline {
        from_us,
        exit_us,
        end_us: nanoseconds(exit_us + drain),
        sms: machine.sms.value as u32,
        busy_sms: price.busy_sms,
        sms_per_worker,
        shares: Shares::default(),
        lanes,
        last,
    };
    timeline.shares = timeline.shares(price.total_us);
    timeline
}

fn lane(modelled: &Modelled, tiles: u32, sms_per_worker: u32) -> Lane {
    let span = |interval: &crate::model::timeline::Interval| Span {
        what: match interval.activity {
            Activity::Prologue => Doing::Prologue,
            Activity::Load => Doing::Load,
            Activity::Mma => Doing::Mma,
            Activity::Epilogue => Doing::Epilogue,
        },
        start_us: nanoseconds(interval.start),
        end_us: nanoseconds(interval.end),
    };
    Lane {
        sm: modelled.sm * sms_per_worker,
        tiles,
        start_us: nanoseconds(modelled.span.0),
        end_us: nanoseconds(modelled.span.1),
        spans: modelled.intervals.iter().map(span).collect(),
    }
}

/// What pictures show of the time before the end of the previous launch, relative to the time after it. Workers on SMs
/// without other work start much earlier, and wait.
const BEFORE: f64 = 0.25;

impl Timeline {
    /// Where pictures start.
    pub fn shown_from(&self) -> f64 {
        self.from_us.max(-BEFORE * self.end_us).min(0.0)
    }

    /// What pictures leave out, if they do.
    pub fn left_out(&self) -> Option<String> {
        let start = self.shown_from();
        let early = self.lanes.iter().filter(|l| l.start_us < start).count();
        (early > 0).then(|| {
            format!(
                "Workers that start before the picture does: {early} of {}, the first at {:.1} us, on SMs that have no other work.",
                self.lanes.len(),
                self.from_us
            )
        })
    }

    /// The picture in words.
    pub fn summary(&self) -> String {
        let shares = &self.shares;
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        format!(
            "{} of {} SMs have work. Of all SM time from one launch to the next, tensor cores multiply in {}, only the \
             epilogue runs in {}, loads are in flight and nothing else is done in {}, set-up and waiting for the launch before \
             take {}, and {} is idle.",
            self.busy_sms,
            self.sms,
            percent(shares.mma),
            percent(shares.epilogue),
            percent(shares.load),
            percent(shares.prologue),
            percent(shares.idle)
        )
    }

    /// In the steady state a launch follows every `period_us`: what it does on its SMs, in all, is done in that time.
    fn shares(&self, period_us: f64) -> Shares {
        let all = period_us * f64::from(self.sms);
        if all <= 0.0 {
            return Shares::default();
        }
        let weight = f64::from(self.sms_per_worker) / all;
        let mut shares = Shares::default();
        for lane in &self.lanes {
            let [prologue, load, mma, epilogue] = lane.time_of(lane.start_us, lane.end_us);
            shares.prologue += weight * prologue;
            shares.load += weight * load;
            shares.mma += weight * mma;
            shares.epilogue += weight * epilogue;
        }
        let busy = shares.prologue + shares.load + shares.mma + shares.epilogue;
        shares.idle = (1.0 - busy).max(0.0);
        shares
    }
}

impl Lane {
    /// Microseconds between two times in which the worker does this and nothing that counts more; in the order of
    /// [`Doing::ALL`]. MMA counts more than the epilogue, that more than loads, these more than set-up.
    pub fn time_of(&self, from: f64, to: f64) -> [f64; 4] {
        const RANKS: [Doing; 4] = [Doing::Mma, Doing::Epilogue, Doing::Load, Doing::Prologue];
        let spans = self
            .spans
            .iter()
            .filter(|s| s.end_us > from && s.start_us < to);
        let mut edges: Vec<f64> = spans
            .clone()
            .flat_map(|s| [s.start_us.max(from), s.end_us.min(to)])
            .collect();
        edges.sort_by(f64::total_cmp);
        edges.dedup();
        let mut time = [0.0; 4];
        let mut of_kind =
            RANKS.map(|what| spans.clone().filter(move |s| s.what == what).peekable());
        for edge in edges.windows(2) {
            let (start, end) = (edge[0], edge[1]);
            let doing = of_kind.iter_mut().enumerate().find_map(|(rank, spans)| {
                while spans.next_if(|s| s.end_us <= start).is_some() {}
                spans
                    .peek()
                    .filter(|s| s.start_us <= start)
                    .map(|_| RANKS[rank])
            });
            if let Some(what) = doing {
                time[what as usize] += end - start;
            }
        }
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_counts_once() {
        let span = |what, start_us, end_us| Span {
            what,
            start_us,
            end_us,
        };
        let lane = Lane {
            sm: 0,
            tiles: 1,
            start_us: 0.0,
            end_us: 10.0,
            spans: vec![
                span(Doing::Prologue, 0.0, 2.0),
                span(Doing::Load, 1.0, 6.0),
                span(Doing::Mma, 4.0, 5.0),
                span(Doing::Mma, 5.5, 7.0),
                span(Doing::Epilogue, 6.5, 9.0),
            ],
        };
        assert_eq!(lane.time_of(0.0, 10.0), [1.0, 3.5, 2.5, 2.0]);
        assert_eq!(lane.time_of(4.5, 5.0), [0.0, 0.0, 0.5, 0.0]);
        assert_eq!(lane.time_of(9.5, 10.0), [0.0; 4]);
    }
}
