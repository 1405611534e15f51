//! The model of a launch's price: its laws, its calibration, and today's plans.

use nvfp4gen::model::{self, B200, Machine, published};

fn errors(machine: &Machine) -> Vec<(String, bool, f64, f64)> {
    published::points()
        .iter()
        .map(|p| {
            (
                p.name.clone(),
                p.fitted,
                p.published_us,
                model::price(&p.workload, machine).total_us,
            )
        })
        .collect()
}

#[test]
fn show() {
    for (name, fitted, published, predicted) in errors(&B200) {
        println!(
            "{name:<16} {} {published:>6.2} {predicted:>6.2} {:>+6.1}%",
            if fitted { "fit " } else { "held" },
            100.0 * (predicted / published - 1.0)
        );
    }
    for p in published::winner() {
        println!("{}", model::price(&p.workload, &B200));
    }
}

/// Squared relative errors; of a short time, only what exceeds the ladder's step counts in full.
fn loss(machine: &Machine, points: &[published::Point]) -> f64 {
    let error = |p: &published::Point| {
        let off = (model::price(&p.workload, machine).total_us - p.published_us).abs();
        let slack = if p.published_us < 19.0 { 1.024 } else { 0.0 };
        ((off - slack).max(0.2 * off) / p.published_us).powi(2)
    };
    points.iter().filter(|p| p.fitted).map(error).sum()
}

#[test]
#[ignore]
fn refit() {
    let points = published::points();
    let names = std::env::var("FIT").unwrap_or(
        "dram_tb_s sm_fill_gb_s scale_copy_cycles launch_gap_us drain_us column_cycles".into(),
    );
    let mut machine = B200;
    for set in std::env::var("SET")
        .unwrap_or_default()
        .split(' ')
        .filter(|s| !s.is_empty())
    {
        let (n, v) = set.split_once('=').unwrap();
        machine = machine.with(n, v.parse().unwrap()).unwrap();
    }
    let mut best = loss(&machine, &points);
    for fraction in [0.25, 0.1, 0.05, 0.02, 0.01] {
        for _ in 0..6 {
            let before = best;
            for name in names.split(' ') {
                let c = machine
                    .constants()
                    .into_iter()
                    .find(|(n, _)| *n == name)
                    .unwrap()
                    .1;
                for sign in [-1.0, 1.0] {
                    let value = (c.value + sign * fraction * (c.high - c.low)).clamp(c.low, c.high);
                    let tried = machine.with(name, value).unwrap();
                    let l = loss(&tried, &points);
                    if l < best {
                        best = l;
                        machine = tried;
                    }
                }
            }
            if best == before {
                break;
            }
        }
    }
    for name in names.split(' ') {
        let c = machine
            .constants()
            .into_iter()
            .find(|(n, _)| *n == name)
            .unwrap()
            .1;
        println!("{name} = {:.3} in {}..{}", c.value, c.low, c.high);
    }
    println!("loss {best:.4}");
    for (name, fitted, published, predicted) in errors(&machine) {
        println!(
            "{name:<16} {} {published:>6.2} {predicted:>6.2} {:>+6.1}%",
            if fitted { "fit " } else { "held" },
            100.0 * (predicted / published - 1.0)
        );
    }
}

#[test]
#[ignore]
fn show_plans() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("shapes/leaderboard.toml");
    let sets = nvfp4gen::problem::ShapeFile::read(&file).unwrap().sets;
    let mut workloads = Vec::new();
    for set in &sets {
        let plan = nvfp4gen::choose::choose(set, nvfp4gen::plan::target::SM_100A).unwrap();
        let w = model::Workload::from(&plan);
        let t = std::time::Instant::now();
        let price = model::price(&w, &B200);
        println!(
            "{price}  priced in {:?}; stages {} acc {}",
            t.elapsed(),
            w.kernel.stages,
            w.kernel.accumulators
        );
        workloads.push(w);
    }
    println!("geomean {}", model::sensitivity::geomean(&workloads, &B200));
    for s in model::sensitivity::sensitivities(&workloads, &B200) {
        println!(
            "{:<24} {:?} {:+.1}% {:+.1}%",
            s.constant,
            s.range,
            100.0 * s.moved.0,
            100.0 * s.moved.1
        );
    }
}
