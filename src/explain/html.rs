//! Reports as one page that needs nothing else: no script, no network.

use super::draw::{Picture, bars, maps, schedule};
use super::figures::{change, count, operand};
use super::memories::{Holds, MemoryMap};
use super::roofline::Kind;
use super::sensitivity::{Move, Moves};
use super::timeline::Doing;
use super::{GroupFacts, Report};
use crate::artifact::{Operand, TensorMapSlot};
use askama::Template;

#[derive(Template)]
#[template(path = "explain/page.html", config = "templates/askama.toml")]
struct Page<'a> {
    title: String,
    sheets: Vec<Sheet<'a>>,
}

/// What the page says of one set, with everything in its place.
struct Sheet<'a> {
    report: &'a Report,
    groups: Vec<Vec<String>>,
    rivals: Vec<Vec<String>>,
    roofline: Picture,
    roofline_text: String,
    times: Vec<Key>,
    parts: Picture,
    predicted: String,
    workers: Option<Picture>,
    last_worker: Option<Picture>,
    timeline_text: String,
    left_out: String,
    activities: Vec<Key>,
    memories: Vec<Memory<'a>>,
    constants: Vec<Vec<String>>,
    slots: Vec<Vec<String>>,
    block: String,
}

struct Memory<'a> {
    map: &'a MemoryMap,
    picture: Picture,
    keys: Vec<Key>,
}

/// An entry of a legend.
#[derive(Clone, Copy)]
struct Key {
    class: &'static str,
    name: &'static str,
}

/// The page with the reports of all sets.
///
/// # Errors
/// If the template fails, which it does not do for what reports are made of.
pub fn page(reports: &[Report]) -> Result<String, askama::Error> {
    let names: Vec<&str> = reports.iter().map(|r| r.name.as_str()).collect();
    let page = Page {
        title: format!("Plans: {}", names.join(", ")),
        sheets: reports.iter().map(sheet).collect(),
    };
    page.render()
}

fn sheet(report: &Report) -> Sheet<'_> {
    let timeline = &report.timeline;
    let last = timeline.last.map(|index| &timeline.lanes[index]);
    Sheet {
        report,
        groups: report.groups.iter().enumerate().map(group).collect(),
        rivals: rivals(report),
        roofline: bars::roofline(&report.roofline),
        roofline_text: report.roofline.summary(),
        times: times(report),
        parts: bars::parts(&report.time),
        predicted: format!("{:.2}", report.time.predicted_us),
        workers: last.map(|_| schedule::workers(timeline)),
        last_worker: last.map(|lane| schedule::worker(timeline, lane)),
        timeline_text: timeline.summary(),
        left_out: left_out(report),
        activities: Doing::ALL.map(activity).to_vec(),
        memories: report.memories.iter().map(memory).collect(),
        constants: report.sensitivity.constants.iter().map(constant).collect(),
        slots: (0..report.groups.len() as u32)
            .filter(|&index| has_slots(report, index))
            .map(|index| slots(report, index))
            .collect(),
        block: block(report),
    }
}

/// The kinds of times that there are.
fn times(report: &Report) -> Vec<Key> {
    let mut kinds: Vec<Kind> = report.roofline.bars.iter().map(|b| b.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let key = |kind: Kind| Key {
        class: bars::class(kind),
        name: kind.name(),
    };
    kinds.into_iter().map(key).collect()
}

/// What the picture of the workers does not show.
fn left_out(report: &Report) -> String {
    let rows = match schedule::stride(&report.timeline) {
        1 => "Each row is a worker.".to_owned(),
        stride => format!("A row for one of {stride} workers."),
    };
    match report.timeline.left_out() {
        None => rows,
        Some(left_out) => format!("{rows} {left_out}"),
    }
}

fn activity(what: Doing) -> Key {
    Key {
        class: schedule::class(what),
        name: what.name(),
    }
}

fn memory(map: &MemoryMap) -> Memory<'_> {
    let mut held: Vec<Holds> = map
        .rows
        .iter()
        .flat_map(|row| row.regions.iter().map(|r| r.what))
        .collect();
    held.sort_unstable();
    held.dedup();
    let key = |what: Holds| Key {
        class: maps::class(what),
        name: what.name(),
    };
    Memory {
        map,
        picture: maps::map(map),
        keys: held.into_iter().map(key).collect(),
    }
}

/// Group, M, N, K, tiles of tokens, of weights.
fn group((index, group): (usize, &GroupFacts)) -> Vec<String> {
    let tokens = group.token_tiles.iter();
    let tokens: Vec<String> = tokens.map(u32::to_string).collect();
    vec![
        index.to_string(),
        count(group.m),
        count(group.n),
        count(group.k),
        match tokens.as_slice() {
            [] => "none".to_owned(),
            tiles => tiles.join(" + "),
        },
        count(group.weight_tiles),
    ]
}

/// Number, price, difference, what differs, where it loses.
fn rivals(report: &Report) -> Vec<Vec<String>> {
    let row = |(number, rival): (u32, &super::why::Rival)| {
        vec![
            number.to_string(),
            format!("{:.3}", rival.predicted_us),
            format!("{:+.3}", rival.behind_us),
            rival.differs(),
            rival.loses(),
        ]
    };
    (1..).zip(&report.why.runners_up).map(row).collect()
}

/// Name, value, and both ends.
fn constant(moves: &Moves) -> Vec<String> {
    let end = |end: &Move| {
        let choice = match end.winner {
            None => String::new(),
            Some(winner) => format!("; no. {winner} cheaper by {:.2} us", end.margin_us),
        };
        format!("{}: {}{choice}", end.at, change(end.moved))
    };
    vec![
        moves.constant.to_owned(),
        format!("{} {}", moves.value, moves.unit),
        end(&moves.low),
        end(&moves.high),
    ]
}

/// Whether the block holds anything of a group.
fn has_slots(report: &Report, group: u32) -> bool {
    let block = &report.parameters;
    block.tensor_maps.iter().any(|m| m.group == group)
        || block.pointers.iter().any(|p| p.group == group)
}

/// Group, then what the block holds of each operand.
fn slots(report: &Report, group: u32) -> Vec<String> {
    let block = &report.parameters;
    let of = |wanted: Operand| {
        let maps = block.tensor_maps.iter();
        let maps = maps.filter(|m| (m.group, m.operand) == (group, wanted));
        let pointers = block.pointers.iter();
        let pointers = pointers.filter(|p| (p.group, p.operand) == (group, wanted));
        let cells: Vec<String> = maps
            .map(tensor_map)
            .chain(pointers.map(|p| format!("address at {}", p.offset)))
            .collect();
        match cells.as_slice() {
            [] => "none".to_owned(),
            cells => cells.join("; "),
        }
    };
    let operands = [
        Operand::A,
        Operand::Sfa,
        Operand::B,
        Operand::Sfb,
        Operand::C,
    ];
    std::iter::once(group.to_string())
        .chain(operands.map(of))
        .collect()
}

fn tensor_map(map: &TensorMapSlot) -> String {
    let sides = map.tile.iter().map(u32::to_string);
    let sides: Vec<String> = sides.collect();
    format!("map at {}, box {}", map.offset, sides.join(" x "))
}

fn block(report: &Report) -> String {
    let block = &report.parameters;
    let workspace = match block.workspace_bytes {
        0 => String::new(),
        bytes => format!(
            " The address of a workspace of {} bytes is at {}.",
            count(bytes),
            block.workspace_offset
        ),
    };
    let names: Vec<&str> = [
        Operand::A,
        Operand::Sfa,
        Operand::B,
        Operand::Sfb,
        Operand::C,
    ]
    .map(operand)
    .to_vec();
    format!(
        "{} bytes, aligned to {}: tensor maps of 128 bytes, then addresses of 8, of the operands {}. Offsets and boxes are \
         constants of the kernel.{workspace}",
        count(block.bytes),
        block.alignment,
        names.join(", ")
    )
}
