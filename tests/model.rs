//! The model of a launch's price: its laws, its calibration, and today's plans.

#[path = "model/designs.rs"]
mod designs;
#[path = "model/laws.rs"]
mod laws;
#[path = "model/measured.rs"]
mod measured;

use nvfp4gen::choose;
use nvfp4gen::model::workload::{Early, Kernel, Programmatic};
use nvfp4gen::model::{B200, H200, Machine, Workload, price, published, sensitivity};
use nvfp4gen::plan::Plan;
use nvfp4gen::plan::target::SM_100A;
use nvfp4gen::problem::{Set, ShapeFile};
use std::fmt::Write;
use std::path::Path;

fn leaderboard() -> Vec<Set> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("shapes/leaderboard.toml");
    ShapeFile::read(&path)
        .unwrap_or_else(|e| panic!("{e}"))
        .sets
}

fn plans() -> Vec<Plan> {
    let planned =
        |set: &Set| choose::best(set, SM_100A).unwrap_or_else(|e| panic!("{}: {e}", set.name));
    leaderboard().iter().map(planned).collect()
}

fn workloads() -> Vec<Workload> {
    plans().iter().map(Workload::from).collect()
}

fn us(workload: &Workload, machine: &Machine) -> f64 {
    price(workload, machine).total_us
}

fn with(machine: &Machine, name: &str, value: f64) -> Machine {
    machine
        .with(name, value)
        .unwrap_or_else(|| panic!("no constant {name}"))
}

fn all_workloads() -> Vec<Workload> {
    let published = published::points().into_iter().map(|p| p.workload);
    workloads().into_iter().chain(published).collect()
}

#[test]
fn todays_plans() {
    let prices: Vec<_> = workloads()
        .iter()
        .map(|w| price(w, &B200).to_string())
        .collect();
    insta::assert_snapshot!("plans", prices.join("\n"));
}

/// What each feature of today's plans is worth: one at a time taken away, and what would still be to gain.
#[test]
fn what_single_changes_gain() {
    let programmatic = |early| {
        Some(Programmatic {
            early,
            beside: false,
        })
    };
    type Change = Box<dyn Fn(&mut Kernel)>;
    let changes: [(&str, Change); 9] = [
        ("today", Box::new(|_| ())),
        (
            "loads after tensor memory",
            Box::new(|k| k.allocate_first = true),
        ),
        (
            "tensor maps not prefetched",
            Box::new(|k| k.prefetch_maps = false),
        ),
        (
            "first ring waits",
            Box::new(|k| k.unconditional_start = false),
        ),
        ("one accumulator", Box::new(|k| k.accumulators = 1)),
        (
            "no programmatic launch",
            Box::new(|k| k.programmatic = None),
        ),
        (
            "programmatic, set-up only",
            Box::new(move |k| k.programmatic = programmatic(Early::Nothing)),
        ),
        ("two more stages (no room)", Box::new(|k| k.stages += 2)),
        (
            "programmatic, no wait at all",
            Box::new(move |k| k.programmatic = programmatic(Early::Everything)),
        ),
    ];
    let mut table = String::from(
        "change                                     P1      P2      P3      P4   geomean us\n",
    );
    for (name, change) in changes {
        let mut changed = workloads();
        changed.iter_mut().for_each(|w| change(&mut w.kernel));
        write!(table, "{name:<37}").expect("strings grow");
        for workload in &changed {
            write!(table, " {:>7.2}", us(workload, &B200)).expect("strings grow");
        }
        writeln!(table, " {:>12.2}", sensitivity::geomean(&changed, &B200)).expect("strings grow");
    }
    insta::assert_snapshot!("changes", table);
}

#[test]
fn what_moves_the_result() {
    let (ours, winner): (Vec<_>, Vec<_>) = (
        workloads(),
        published::winner()
            .into_iter()
            .map(|p| p.workload)
            .collect(),
    );
    let mut table =
        String::from("constant                  low..high             ours            winner's\n");
    let theirs = sensitivity::sensitivities(&winner, &B200);
    for s in sensitivity::sensitivities(&ours, &B200) {
        let t = theirs
            .iter()
            .find(|t| t.constant == s.constant)
            .expect("the same constants");
        if s.most().max(t.most()) < 0.005 {
            continue;
        }
        let moves = |m: (f64, f64)| format!("{:>+6.1}% {:>+6.1}%", 100.0 * m.0, 100.0 * m.1);
        let range = format!("{}..{}", s.range.0, s.range.1);
        writeln!(
            table,
            "{:<25} {range:<15} {} {}",
            s.constant,
            moves(s.moved),
            moves(t.moved)
        )
        .expect("strings grow");
    }
    insta::assert_snapshot!("sensitivity", table);
}

#[test]
fn hundreds_of_candidates_fit_in_a_second() {
    let workloads = workloads();
    let start = std::time::Instant::now();
    for _ in 0..25 {
        workloads.iter().for_each(|w| assert!(us(w, &B200) > 0.0));
    }
    // 100 prices of six launches each take 200 ms; the rest is for slow machines.
    assert!(start.elapsed().as_millis() < 4000, "{:?}", start.elapsed());
}

#[test]
fn a_slower_memory_shows() {
    for workload in workloads() {
        assert!(us(&workload, &H200) > us(&workload, &B200));
    }
}
