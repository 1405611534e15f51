//! Reports for terminals.

use super::figures::{change, count, operand};
use super::memories::MemoryMap;
use super::roofline::{Bar, Kind, Roofline};
use super::sensitivity::{Move, Moves, Sensitivity};
use super::timeline::{Doing, Timeline};
use super::why::Why;
use super::{Paragraph, Report, Time};
use std::fmt::{self, Display, Formatter};

/// Width of the text.
const WIDTH: usize = 100;
/// Characters of the longest bar.
const BAR: usize = 40;
/// Characters of the time axis.
const AXIS: usize = 84;
/// Workers that are drawn.
const LANES: usize = 16;

/// The report of one set.
pub fn text(report: &Report) -> String {
    Page(report).to_string()
}

struct Page<'a>(&'a Report);

impl Display for Page<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let report = self.0;
        writeln!(f, "{} on {}: {}", report.name, report.target, report.key)?;
        for note in &report.notes {
            paragraph(f, "", note)?;
        }
        heading(f, "The plan")?;
        for Paragraph { topic, text } in &report.words {
            paragraph(f, topic, text)?;
        }
        let choices = report.choices.iter();
        let choices: Vec<_> = choices.map(|c| format!("{} {}", c.name, c.value)).collect();
        paragraph(f, "Choices", &(choices.join(", ") + "."))?;
        heading(f, "Why this one")?;
        why(f, &report.why)?;
        heading(f, "Time, predicted")?;
        time(f, &report.time, report.machine)?;
        heading(f, "Roofline")?;
        roofline(f, &report.roofline)?;
        heading(f, "Schedule")?;
        timeline(f, &report.timeline)?;
        for map in &report.memories {
            heading(f, &map.name)?;
            memory(f, map)?;
        }
        heading(f, "Sensitivity")?;
        sensitivity(f, &report.sensitivity)?;
        heading(f, "Parameter block")?;
        parameters(f, report)
    }
}

fn heading(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    writeln!(f, "\n{text}")?;
    writeln!(f, "{}", "-".repeat(text.chars().count()))
}

/// A topic, and its text beside it in lines of their own.
fn paragraph(f: &mut Formatter<'_>, topic: &str, text: &str) -> fmt::Result {
    let indent = if topic.is_empty() { 0 } else { 12 };
    let mut line = format!("{topic:<indent$}");
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(f, "{}", line.trim_end())?;
            line = " ".repeat(indent);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    writeln!(f, "{}", line.trim_end())
}

fn why(f: &mut Formatter<'_>, why: &Why) -> fmt::Result {
    paragraph(f, "", &why.text)?;
    for (index, rival) in (1..).zip(&why.runners_up) {
        let (us, behind) = (rival.predicted_us, rival.behind_us);
        let (differs, loses) = (rival.differs(), rival.loses());
        writeln!(f, "  {index}. {us:.3} us, {behind:+.3}: {differs}")?;
        writeln!(f, "     loses {loses}")?;
    }
    for refused in &why.refused {
        let (count, rule, example) = (refused.count, refused.rule, &refused.example);
        writeln!(f, "  refused: {count} by rule `{rule}`, such as {example}")?;
    }
    Ok(())
}

fn time(f: &mut Formatter<'_>, time: &Time, machine: &str) -> fmt::Result {
    writeln!(f, "{:>8.2} us a call on {machine}", time.predicted_us)?;
    for part in &time.parts {
        writeln!(f, "{:>8.2}    {}", part.us, part.name)?;
    }
    paragraph(f, "", &time.text)
}

fn roofline(f: &mut Formatter<'_>, roofline: &Roofline) -> fmt::Result {
    paragraph(f, "", &roofline.summary())?;
    let most = roofline.bars.iter().map(|b| b.us).fold(0.0, f64::max);
    for Bar { name, kind, us } in &roofline.bars {
        let share = if most > 0.0 { us / most } else { 0.0 };
        let length = (share * BAR as f64).round() as usize;
        let bar = mark(*kind).repeat(length);
        writeln!(f, "{us:>8.2}  {bar:<BAR$}  {name}")?;
    }
    roofline
        .caveats
        .iter()
        .try_for_each(|caveat| paragraph(f, "", caveat))
}

fn mark(kind: Kind) -> &'static str {
    match kind {
        Kind::Bound => "-",
        Kind::Limit => "=",
        Kind::Predicted => "#",
        Kind::Published => "*",
        Kind::PricedPublished => "+",
    }
}

fn timeline(f: &mut Formatter<'_>, timeline: &Timeline) -> fmt::Result {
    if timeline.lanes.is_empty() {
        return writeln!(f, "Nothing runs.");
    }
    let (from, to) = (timeline.shown_from(), timeline.end_us);
    let step = (to - from) / AXIS as f64;
    let rows = timeline.lanes.len().min(LANES);
    for row in 0..rows {
        // Evenly spread, the first and the last included.
        let index = row * (timeline.lanes.len() - 1) / (rows - 1).max(1);
        let lane = &timeline.lanes[index];
        let cell = |i: usize| {
            let start = from + i as f64 * step;
            character(lane.time_of(start, start + step), step)
        };
        let cells: String = (0..AXIS).map(cell).collect();
        writeln!(f, "SM {:>3}  {}", lane.sm, cells.trim_end())?;
    }
    let axis = format!("{from:.2} us");
    writeln!(f, "        {axis}{:>1$.2} us", to, AXIS - axis.len() - 3)?;
    writeln!(
        f,
        "p set-up, waiting, - loads in flight, # MMA, e epilogue, blank idle; 0 is the end of the launch before"
    )?;
    if let Some(left_out) = timeline.left_out() {
        paragraph(f, "", &left_out)?;
    }
    paragraph(f, "", &timeline.summary())
}

fn character(time: [f64; 4], step: f64) -> char {
    let idle = step - time.iter().sum::<f64>();
    let kinds = Doing::ALL.into_iter().zip(time);
    let most = kinds.max_by(|a, b| a.1.total_cmp(&b.1));
    match most {
        Some((what, us)) if us >= idle => match what {
            Doing::Prologue => 'p',
            Doing::Load => '-',
            Doing::Mma => '#',
            Doing::Epilogue => 'e',
        },
        _ => ' ',
    }
}

fn memory(f: &mut Formatter<'_>, map: &MemoryMap) -> fmt::Result {
    paragraph(f, "", &map.text)?;
    for row in &map.rows {
        let same = row.regions.chunk_by(|a, b| a.what == b.what);
        let regions: Vec<String> = same
            .map(|run| {
                let (first, last) = (&run[0], &run[run.len() - 1]);
                let times = match run.len() {
                    1 => String::new(),
                    times => format!("{times} x "),
                };
                format!("{times}{} {}-{}", first.what.name(), first.from, last.to)
            })
            .collect();
        writeln!(f, "  {}: {}", row.name, regions.join(", "))?;
    }
    Ok(())
}

fn sensitivity(f: &mut Formatter<'_>, sensitivity: &Sensitivity) -> fmt::Result {
    paragraph(f, "", &sensitivity.text)?;
    for moves in &sensitivity.constants {
        let Moves {
            constant,
            low,
            high,
            ..
        } = moves;
        writeln!(
            f,
            "  {constant:<24} {:>8} -> {}, {:>8} -> {}",
            low.at,
            end(low),
            high.at,
            end(high)
        )?;
    }
    match sensitivity.others {
        0 => Ok(()),
        others => writeln!(
            f,
            "  {others} other constants move the price by less than 0.5 % and no choice"
        ),
    }
}

fn end(end: &Move) -> String {
    let moved = change(end.moved);
    match end.winner {
        None => format!("{moved:>8}"),
        Some(winner) => format!("{moved:>8} (no. {winner} by {:.2} us)", end.margin_us),
    }
}

fn parameters(f: &mut Formatter<'_>, report: &Report) -> fmt::Result {
    let block = &report.parameters;
    writeln!(
        f,
        "{} bytes, aligned to {}",
        count(block.bytes),
        block.alignment
    )?;
    for index in 0..report.groups.len() as u32 {
        let maps = block.tensor_maps.iter().filter(|m| m.group == index);
        let pointers = block.pointers.iter().filter(|p| p.group == index);
        let slots: Vec<String> = maps
            .map(|m| format!("map of {} at {}", operand(m.operand), m.offset))
            .chain(pointers.map(|p| format!("address of {} at {}", operand(p.operand), p.offset)))
            .collect();
        if !slots.is_empty() {
            paragraph(f, &format!("  group {index}"), &(slots.join(", ") + "."))?;
        }
    }
    if block.workspace_bytes > 0 {
        let (bytes, at) = (count(block.workspace_bytes), block.workspace_offset);
        writeln!(f, "address of a workspace of {bytes} bytes at {at}")?;
    }
    Ok(())
}
