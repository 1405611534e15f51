//! SMs over time.

use super::{Picture, Scale, WIDTH};
use crate::explain::timeline::{Doing, Lane, Timeline};

/// Where time starts and ends.
const LEFT: f64 = 104.0;
const RIGHT: f64 = WIDTH - 12.0;
/// Room for the axis.
const AXIS: f64 = 40.0;
/// Height that all workers share, if they are many.
const TALL: f64 = 560.0;
/// Most rows that are drawn: strips of more would be thinner than a point.
const MOST_LANES: usize = 80;
/// Gaps that nobody sees.
const GAP: f64 = 0.4;

/// All workers: three strips each, for loads, MMAs and epilogues.
pub fn workers(timeline: &Timeline) -> Picture {
    let stride = stride(timeline);
    let shown = timeline.lanes.len().div_ceil(stride);
    let pitch = (TALL / shown.max(1) as f64).clamp(3.9, 12.0);
    let bottom = 18.0 + shown as f64 * pitch;
    let label = format!("{} workers over time", timeline.lanes.len());
    let mut picture = Picture::new(label, bottom + AXIS);
    let scale = scale(timeline);
    axis(&mut picture, &scale, timeline, bottom);
    let mut labelled = f64::NEG_INFINITY;
    for row in 0..shown {
        let lane = &timeline.lanes[row * stride];
        let y = 18.0 + row as f64 * pitch;
        strips(&mut picture, &scale, lane, y, pitch);
        if y - labelled >= 40.0 {
            picture.word(
                "end",
                LEFT - 8.0,
                y + pitch.max(10.0) - 1.0,
                name(lane, timeline),
            );
            labelled = y;
        }
    }
    picture
}

/// Of how many workers one is drawn.
pub fn stride(timeline: &Timeline) -> usize {
    timeline.lanes.len().div_ceil(MOST_LANES).max(1)
}

/// One worker, larger: a row for each thing that it does.
pub fn worker(timeline: &Timeline, lane: &Lane) -> Picture {
    const PITCH: f64 = 26.0;
    let bottom = 18.0 + Doing::ALL.len() as f64 * PITCH;
    let mut picture = Picture::new(format!("{} over time", name(lane, timeline)), bottom + AXIS);
    let scale = scale(timeline);
    axis(&mut picture, &scale, timeline, bottom);
    for (row, what) in Doing::ALL.into_iter().enumerate() {
        let y = 18.0 + row as f64 * PITCH;
        let short = match what {
            Doing::Prologue => "set-up",
            Doing::Load => "loads",
            _ => what.name(),
        };
        picture.word("end", LEFT - 8.0, y + 16.0, short);
        spans(&mut picture, &scale, lane, what, y + 3.0, PITCH - 6.0);
    }
    picture
}

fn name(lane: &Lane, timeline: &Timeline) -> String {
    match timeline.sms_per_worker {
        1 => format!("SM {}", lane.sm),
        more => format!("SM {}-{}", lane.sm, lane.sm + more - 1),
    }
}

fn scale(timeline: &Timeline) -> Scale {
    Scale::new((timeline.shown_from(), timeline.end_us), (LEFT, RIGHT))
}

fn axis(picture: &mut Picture, scale: &Scale, timeline: &Timeline, bottom: f64) {
    for tick in scale.ticks(13.0) {
        let x = scale.at(tick);
        picture.grid((x, 14.0), (x, bottom + 4.0));
        let text = format!("{}", super::round(tick));
        picture.word("middle", x, bottom + 18.0, text);
    }
    picture.word(
        "middle",
        (LEFT + RIGHT) / 2.0,
        bottom + 34.0,
        "microseconds",
    );
    let (before, exit) = (scale.at(0.0), scale.at(timeline.exit_us));
    picture.line("event", (before, 14.0), (before, bottom + 4.0));
    picture.word(
        "start event",
        before.max(LEFT),
        11.0,
        "the launch before ends",
    );
    picture.line("event", (exit, 14.0), (exit, bottom + 4.0));
    picture.word("end event", RIGHT, 11.0, "last exit, then stores drain");
}

fn strips(picture: &mut Picture, scale: &Scale, lane: &Lane, y: f64, pitch: f64) {
    let x = (scale.at(lane.start_us), scale.at(lane.end_us));
    let height = pitch - (pitch * 0.2).max(0.6);
    bar(picture, "resident", x, y, height);
    let strip = height / 3.0;
    spans(picture, scale, lane, Doing::Prologue, y, height);
    spans(picture, scale, lane, Doing::Load, y, strip);
    spans(picture, scale, lane, Doing::Mma, y + strip, strip);
    spans(
        picture,
        scale,
        lane,
        Doing::Epilogue,
        y + 2.0 * strip,
        strip,
    );
}

/// The spans of one kind; those that nobody could tell apart are drawn as one.
fn spans(picture: &mut Picture, scale: &Scale, lane: &Lane, what: Doing, y: f64, height: f64) {
    let spans = lane.spans.iter().filter(|s| s.what == what);
    let mut places = spans.map(|s| (scale.at(s.start_us), scale.at(s.end_us)));
    let Some(mut open) = places.next() else {
        return;
    };
    for next in places {
        if next.0 - open.1 < GAP {
            open.1 = open.1.max(next.1);
        } else {
            bar(picture, class(what), open, y, height);
            open = next;
        }
    }
    bar(picture, class(what), open, y, height);
}

/// A rectangle, or what of it lies after the picture's start.
fn bar(picture: &mut Picture, class: &'static str, x: (f64, f64), y: f64, height: f64) {
    if x.1 > LEFT {
        picture.rect(class, (x.0.max(LEFT), x.1), y, height);
    }
}

/// The look of an activity.
pub fn class(what: Doing) -> &'static str {
    match what {
        Doing::Prologue => "prologue",
        Doing::Load => "load",
        Doing::Mma => "mma",
        Doing::Epilogue => "epilogue",
    }
}
