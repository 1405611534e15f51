//! Maps of memories.

use super::{Picture, Scale, WIDTH};
use crate::explain::figures::count;
use crate::explain::memories::{Holds, MapRow, MemoryMap, Region};

const LEFT: f64 = 164.0;
const RIGHT: f64 = WIDTH - 28.0;
const TOP: f64 = 4.0;
const BAR: f64 = 26.0;
/// A bar, and the numbers below it.
const PITCH: f64 = BAR + 22.0;
/// Width of a character, about.
const CHARACTER: f64 = 7.2;

/// A bar for each row of the map.
pub fn map(map: &MemoryMap) -> Picture {
    let rows = map.rows.len() as f64;
    let mut picture = Picture::new(map.name.clone(), TOP + rows * PITCH);
    let scale = Scale::new((0.0, f64::from(map.capacity)), (LEFT, RIGHT));
    for (index, row) in map.rows.iter().enumerate() {
        let y = TOP + index as f64 * PITCH;
        picture.word("end", LEFT - 10.0, y + BAR / 2.0 + 4.5, &row.name);
        picture.rect("unused", (LEFT, RIGHT), y, BAR);
        regions(&mut picture, &scale, row, y, map.unit);
        edges(&mut picture, &scale, row, y + BAR + 14.0, map.capacity);
    }
    picture
}

fn regions(picture: &mut Picture, scale: &Scale, row: &MapRow, y: f64, unit: &str) {
    let mut number = 0;
    let mut before = None;
    for region in &row.regions {
        number = if before == Some(region.what) {
            number + 1
        } else {
            1
        };
        before = Some(region.what);
        let x = (
            scale.at(f64::from(region.from)),
            scale.at(f64::from(region.to)),
        );
        let rect = picture.rect(class(region.what), x, y, BAR);
        rect.title = Some(title(region, unit));
        let alone = row.regions.iter().filter(|r| r.what == region.what).count() == 1;
        let name = region.what.name();
        let texts = if alone {
            [name.to_owned(), name.to_owned()]
        } else {
            [format!("{name} {number}"), number.to_string()]
        };
        let fits = |text: &&String| text.len() as f64 * CHARACTER + 4.0 <= x.1 - x.0;
        if let Some(text) = texts.iter().find(fits) {
            picture.word(
                "middle inside",
                (x.0 + x.1) / 2.0,
                y + BAR / 2.0 + 4.5,
                text,
            );
        }
    }
}

fn title(region: &Region, unit: &str) -> String {
    let (from, to) = (count(region.from), count(region.to));
    let size = count(region.to - region.from);
    format!(
        "{}: {unit} {from} to {to}, {size} in all",
        region.what.name()
    )
}

/// Numbers below the edges of regions, as far as they have room; the ends come first.
fn edges(picture: &mut Picture, scale: &Scale, row: &MapRow, y: f64, capacity: u32) {
    let inner = row.regions.iter().flat_map(|r| [r.from, r.to]);
    let mut taken: Vec<(f64, f64)> = Vec::new();
    for value in [0, capacity].into_iter().chain(inner) {
        let (x, text) = (scale.at(f64::from(value)), count(value));
        let half = text.len() as f64 * CHARACTER / 2.0 + 4.0;
        let is_free = taken
            .iter()
            .all(|&(from, to)| x + half <= from || to <= x - half);
        if is_free {
            picture.word("middle small", x, y, text);
            taken.push((x - half, x + half));
        }
    }
}

/// The look of what a memory holds.
pub fn class(what: Holds) -> &'static str {
    match what {
        Holds::Stage => "stage",
        Holds::Weights => "weights",
        Holds::WeightScales => "weight-scales",
        Holds::Tokens => "tokens",
        Holds::TokenScales => "token-scales",
        Holds::Slot => "slot",
        Holds::Staging => "staging",
        Holds::Barriers => "barriers",
        Holds::Accumulator => "accumulator",
    }
}
