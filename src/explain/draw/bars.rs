//! Times as bars.

use super::{Picture, Scale, WIDTH};
use crate::explain::Time;
use crate::explain::roofline::{Kind, Roofline};

/// Where bars start; their names end a little before.
const LEFT: f64 = 324.0;
/// Where the longest bar ends, so that its number has room.
const RIGHT: f64 = WIDTH - 76.0;
const PITCH: f64 = 25.0;
const TOP: f64 = 6.0;

/// Bounds, the prediction with its error, and published times.
pub fn roofline(roofline: &Roofline) -> Picture {
    let bars = &roofline.bars;
    let mut picture = Picture::new("times compared", TOP * 2.0 + bars.len() as f64 * PITCH);
    let error = roofline.model_error.unwrap_or(0.0);
    let end = |b: &crate::explain::roofline::Bar| match b.kind {
        Kind::Predicted => b.us * (1.0 + error),
        _ => b.us,
    };
    let most = bars.iter().map(end).fold(0.0, f64::max);
    let scale = Scale::new((0.0, most), (LEFT, RIGHT));
    for (row, bar) in bars.iter().enumerate() {
        let y = TOP + row as f64 * PITCH;
        let middle = y + PITCH / 2.0;
        picture.word("end", LEFT - 10.0, middle + 4.5, &bar.name);
        picture.rect(
            class(bar.kind),
            (LEFT, scale.at(bar.us)),
            y + 3.0,
            PITCH - 6.0,
        );
        if bar.kind == Kind::Predicted && error * bar.us > 0.0 {
            let (low, high) = (bar.us * (1.0 - error), bar.us * (1.0 + error));
            whisker(&mut picture, scale.at(low), scale.at(high), middle);
        }
        let text = format!("{:.2} us", bar.us);
        picture.word("start number", scale.at(end(bar)) + 8.0, middle + 4.5, text);
    }
    picture
}

/// An interval, with a rim that sets it off from the bar.
fn whisker(picture: &mut Picture, from: f64, to: f64, y: f64) {
    for class in ["halo", "whisker"] {
        picture.line(class, (from, y), (to, y));
        for x in [from, to] {
            picture.line(class, (x, y - 5.0), (x, y + 5.0));
        }
    }
}

/// The look of a time.
pub fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Bound => "bound",
        Kind::Limit => "limit",
        Kind::Predicted => "predicted",
        Kind::Published => "published",
        Kind::PricedPublished => "priced",
    }
}

/// The parts of a call's time, one after the other.
pub fn parts(time: &Time) -> Picture {
    let height = TOP * 2.0 + time.parts.len() as f64 * PITCH;
    let mut picture = Picture::new("where the time goes", height);
    let first = time.parts.first().map_or(0.0, |p| p.us.min(0.0));
    let scale = Scale::new((first, time.predicted_us), (LEFT, RIGHT));
    let zero = scale.at(0.0);
    picture.line("event", (zero, 2.0), (zero, height - 2.0));
    let mut now = 0.0;
    for (row, part) in time.parts.iter().enumerate() {
        let y = TOP + row as f64 * PITCH;
        let (from, to) = (now, now + part.us);
        now = to;
        let x = (scale.at(from.min(to)), scale.at(from.max(to)));
        picture.word("end", LEFT - 10.0, y + PITCH / 2.0 + 4.5, part.name);
        picture.rect("predicted", x, y + 3.0, PITCH - 6.0);
        let text = format!("{:.2} us", part.us);
        picture.word("start number", x.1 + 8.0, y + PITCH / 2.0 + 4.5, text);
    }
    picture
}
