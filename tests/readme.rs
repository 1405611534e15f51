//! The numbers that the README says the model predicts are those that it predicts.
//!
//! After a change to plans or prices, `UPDATE_README=1 cargo test --release --test readme` writes them anew; the
//! difference is to be read like any other.

use nvfp4gen::choose;
use nvfp4gen::model::workload::{Early, Programmatic};
use nvfp4gen::model::{B200, Machine, Workload, price, published, sensitivity, speed_of_light};
use nvfp4gen::plan::target::SM_100A;
use nvfp4gen::problem::{Set, ShapeFile};
use rayon::prelude::*;
use std::fmt::Write;

const README: &str = "README.md";
/// The SM clock behind the contest's own bound.
const CONTEST_GHZ: f64 = 1.5;

fn sets(file: &str) -> Vec<Set> {
    ShapeFile::read(format!("shapes/{file}.toml")).unwrap().sets
}

/// The chosen plans as the model sees them.
fn chosen(sets: &[Set]) -> Vec<Workload> {
    let of = |set| Workload::from(&choose::best(set, SM_100A).unwrap());
    sets.par_iter().map(of).collect()
}

fn light(set: &Set) -> f64 {
    let memory = speed_of_light::memory_us(set, speed_of_light::CONTEST_TB_S);
    memory.max(speed_of_light::math_us(set, &B200, CONTEST_GHZ))
}

fn us(workload: &Workload) -> f64 {
    price(workload, &B200).total_us
}

fn geomean(values: &[f64]) -> f64 {
    (values.iter().map(|v| v.ln()).sum::<f64>() / values.len() as f64).exp()
}

/// Speed of light, the winner published and predicted, ours predicted.
fn leaderboard(sets: &[Set], ours: &[Workload]) -> String {
    let winner = published::winner();
    let mut rows: Vec<[f64; 4]> = Vec::new();
    let mut text = String::from(
        "| leaderboard, us | speed of light | winner, published | winner, predicted | ours, predicted |\n\
         |---|---|---|---|---|\n",
    );
    for ((set, ours), winner) in sets.iter().zip(ours).zip(&winner) {
        assert!(winner.name.ends_with(&set.name), "{}", winner.name);
        rows.push([
            light(set),
            winner.published_us,
            us(&winner.workload),
            us(ours),
        ]);
    }
    let column = |index: usize| geomean(&rows.iter().map(|row| row[index]).collect::<Vec<_>>());
    let all = [0, 1, 2, 3].map(column);
    let names = sets.iter().map(|set| set.name.as_str());
    for (name, [light, published, predicted, ours]) in names
        .chain(["geomean"])
        .zip(rows.iter().copied().chain([all]))
    {
        let error = 100.0 * (predicted / published - 1.0);
        writeln!(
            text,
            "| {name} | {light:.2} | {published:.2} | {predicted:.2} ({error:+.0} %) | {ours:.2} |"
        )
        .unwrap();
    }
    text
}

fn others(sets: &[Set], ours: &[Workload]) -> String {
    let mut text = String::from(
        "| `shapes/moe.toml`, us | groups | M | N x K | speed of light | ours, predicted |\n|---|---|---|---|---|---|\n",
    );
    for (set, ours) in sets.iter().zip(ours) {
        let tokens = || set.groups.iter().map(|group| group.m);
        let (least, most) = (tokens().min().unwrap(), tokens().max().unwrap());
        let group = &set.groups[0];
        writeln!(
            text,
            "| {} | {} | {least} to {most} | {} x {} | {:.1} | {:.1} |",
            set.name,
            set.groups.len(),
            group.n,
            group.k,
            light(set),
            us(ours)
        )
        .unwrap();
    }
    text
}

/// The leaderboard's geometric mean if machine and callers were other than they are taken to be.
fn conditions(ours: &[Workload]) -> String {
    let fast = B200
        .with("dram_tb_s", speed_of_light::MEASURED_TB_S)
        .unwrap();
    let free: Vec<Workload> = ours.iter().cloned().map(without_wait).collect();
    let mean = |workloads: &[Workload], machine: &Machine| sensitivity::geomean(workloads, machine);
    let row = |name: &str, workloads: &[Workload], change: fn(Machine) -> Machine| {
        let [slow, fast] = [&B200, &fast].map(|m| mean(workloads, &change(m.clone())));
        format!("| {name} | {slow:.2} | {fast:.2} |\n")
    };
    format!(
        "| ours on the leaderboard, geomean in us, predicted | {:.2} TB/s, as calibrated | {:.1} TB/s |\n|---|---|---|\n{}{}{}",
        B200.dram_tb_s.value,
        speed_of_light::MEASURED_TB_S,
        row("tokens and C wait for the launch before", ours, |m| m),
        row("nothing waits for the launch before", &free, |m| m),
        row(
            "the same, and the ends of a launch as quick as any source says",
            &free,
            quick_ends
        ),
    )
}

/// Hand-over between launches, drain and epilogue at the quick ends of their ranges.
fn quick_ends(mut machine: Machine) -> Machine {
    machine.handover_us.value = machine.handover_us.low;
    machine.drain_us.value = machine.drain_us.low;
    machine.column_cycles.value = machine.column_cycles.low;
    machine
}

fn without_wait(mut workload: Workload) -> Workload {
    let launch = &mut workload.kernel.programmatic;
    *launch = launch.map(|launch| Programmatic {
        early: Early::Everything,
        ..launch
    });
    workload
}

/// What stands between the marks of that name.
fn section<'t>(text: &'t str, name: &str) -> &'t str {
    let (begin, end) = (
        format!("<!-- {name} -->\n"),
        format!("<!-- end of {name} -->"),
    );
    let (_, rest) = text.split_once(&begin).expect("a begin mark");
    rest.split_once(&end).expect("an end mark").0
}

#[test]
fn predictions_are_what_the_model_says() {
    let four = sets("leaderboard");
    let ten = sets("moe");
    let ours = chosen(&four);
    let expected = [
        ("leaderboard", leaderboard(&four, &ours)),
        ("other sets", others(&ten, &chosen(&ten))),
        ("conditions", conditions(&ours)),
    ];
    let mut text = std::fs::read_to_string(README).unwrap();
    let update = std::env::var_os("UPDATE_README").is_some();
    for (name, expected) in &expected {
        let found = section(&text, name).to_owned();
        if update {
            let mark = format!("<!-- {name} -->\n");
            text = text.replace(&format!("{mark}{found}"), &format!("{mark}{expected}"));
        } else {
            assert_eq!(&found, expected, "UPDATE_README=1 writes {name} anew");
        }
    }
    if update {
        std::fs::write(README, text).unwrap();
    }
}
