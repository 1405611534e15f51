//! Published kernels and their times: what the model is calibrated on and held to.
//!
//! All from GN's public work logs and sources; every time is its author's claim (B200, contest harness). A property of
//! these numbers that limits any calibration: of the 81 times below 17 us in the three logs, 74 lie within 0.77 us above
//! a multiple of 2.048 us, where 30 would by chance. Whatever the cause (a timer of that step would do it), a short time
//! carries an uncertainty of up to 2 us, and steps between short times (10.3 to 8.7, 8.4 to 6.5) are partly steps of that
//! ladder.

use super::outline::{Order, Outline, Sides};
use super::workload::{Kernel, Reduction, Workload};
use crate::problem::Group;

/// A published time.
#[derive(Clone, Debug)]
pub struct Point {
    /// Design and problem.
    pub name: String,
    /// Microseconds.
    pub published_us: f64,
    /// Whether the constants were fitted on it.
    pub fitted: bool,
    /// The kernel.
    pub workload: Workload,
}

/// The leaderboard's four problems.
pub fn leaderboard() -> [(&'static str, Vec<Group>); 4] {
    let groups = |m: &[u32], n, k| m.iter().map(|&m| Group { m, n, k }).collect();
    [
        (
            "P1",
            groups(&[80, 176, 128, 72, 64, 248, 96, 160], 4096, 7168),
        ),
        (
            "P2",
            groups(&[40, 76, 168, 72, 164, 148, 196, 160], 7168, 2048),
        ),
        ("P3", groups(&[192, 320], 3072, 4096)),
        ("P4", groups(&[128, 384], 4096, 1536)),
    ]
}

/// Every point, design by design.
pub fn points() -> Vec<Point> {
    let designs: [(&str, Design, [f64; 4], bool); 4] = [
        ("v2e", v2e, [31.4, 20.8, 10.4, 8.39], true),
        ("v5", v5, [29.0, 20.8, 10.3, 8.4], true),
        ("v5e", v5e, [28.4, 20.6, 8.71, 6.54], false),
        ("v6b", v6b, [27.9, 19.4, 8.48, 6.43], false),
    ];
    let mut points = Vec::new();
    for (name, design, times, fitted) in designs {
        for (index, ((set, groups), published_us)) in
            leaderboard().into_iter().zip(times).enumerate()
        {
            let name = format!("{name} {set}");
            let workload = design(name.clone(), groups, index).workload();
            points.push(Point {
                name,
                published_us,
                fitted,
                workload,
            });
        }
    }
    points.extend(gemms());
    points
}

type Design = fn(String, Vec<Group>, usize) -> Outline;

/// What all of GN's kernels share.
fn base(name: String, groups: Vec<Group>) -> Outline {
    let parameter_bytes = 524 * groups.len() as u32;
    Outline {
        name,
        groups,
        weight_rows: 128,
        token_rows: 128,
        sides: Sides::WeightsOnMFixed,
        k_block: 256,
        split_k: 1,
        workers: 148,
        order: Order::Columns,
        kernel: Kernel {
            sms: 1,
            // Tensor maps and pointers by value: 512 bytes and more a group.
            parameter_bytes,
            uploads: false,
            stages: 6,
            accumulators: 2,
            release_after: None,
            slice: 16,
            unconditional_start: false,
            allocate_first: false,
            prefetch_maps: true,
            programmatic: None,
            reduction: Reduction::None,
        },
    }
}

/// One-CTA MMA with tokens on M, 128 persistent CTAs, groups by descending M.
fn v2e(name: String, groups: Vec<Group>, set: usize) -> Outline {
    let mut outline = base(name, groups);
    outline.sides = Sides::TokensOnM;
    outline.workers = 128;
    outline.order = Order::Turns {
        tokens_first: set == 1,
    };
    if set == 1 {
        outline.weight_rows = 256;
        outline.kernel.stages = 4;
        outline.kernel.accumulators = 1;
        outline.kernel.release_after = Some(48);
    }
    outline
}

/// Pairs (but for P4), weights on M, grid a multiple of the weight tiles.
fn v5(name: String, groups: Vec<Group>, set: usize) -> Outline {
    let mut outline = base(name, groups);
    outline.order = Order::Turns {
        tokens_first: false,
    };
    let ctas = [128, 112, 120, 128][set];
    if set == 3 {
        outline.workers = ctas;
    } else {
        pair(&mut outline, ctas);
    }
    outline
}

/// v5 with the first stages issued without waiting; a CTA keeps its weight column.
fn v5e(name: String, groups: Vec<Group>, set: usize) -> Outline {
    let mut outline = base(name, groups);
    pair(&mut outline, [128, 112, 120, 128][set]);
    outline.kernel.unconditional_start = true;
    outline
}

/// The winner: v5e, rows beyond M not loaded, and for P2 tiles of 256 tokens as two operations.
fn v6b(name: String, groups: Vec<Group>, set: usize) -> Outline {
    let mut outline = v5e(name, groups, set);
    outline.kernel.slice = 128;
    if set == 1 {
        outline.token_rows = 256;
        outline.kernel.stages = 5;
        outline.kernel.accumulators = 1;
        outline.kernel.release_after = Some(128);
    }
    outline
}

fn pair(outline: &mut Outline, ctas: u32) {
    outline.workers = ctas / 2;
    outline.kernel.sms = 2;
    outline.kernel.stages = 8;
}

/// The winner's design on its own problem set, by name; for comparisons.
pub fn winner() -> Vec<Point> {
    points()
        .into_iter()
        .filter(|p| p.name.starts_with("v6b"))
        .collect()
}

/// Single GEMMs with 128 tokens: one tile a CTA, most SMs idle, so memory is not the limit.
fn gemms() -> Vec<Point> {
    let one = |n, k| vec![Group { m: 128, n, k }];
    let gemm = |name: &str, groups: Vec<Group>, tokens, stages, published_us, fitted| {
        let mut outline = base(name.to_owned(), groups);
        outline.token_rows = tokens;
        outline.order = Order::Turns { tokens_first: true };
        outline.kernel.stages = stages;
        outline.kernel.slice = 64;
        outline.kernel.accumulators = 1;
        outline.kernel.allocate_first = true;
        outline.kernel.prefetch_maps = false;
        (outline, published_us, fitted)
    };
    let mut all = vec![
        gemm("GEMM v0c K16384", one(7168, 16384), 128, 6, 22.6, true),
        gemm("GEMM v0c K7168", one(4096, 7168), 128, 6, 12.4, true),
        gemm("GEMM v0c K2048", one(7168, 2048), 128, 6, 8.25, true),
        gemm("GEMM v3 K16384", one(7168, 16384), 64, 8, 19.0, true),
        gemm("GEMM v3 K2048", one(7168, 2048), 64, 6, 7.28, false),
    ];
    let mut v3b = gemm("GEMM v3b K2048", one(7168, 2048), 64, 8, 6.78, false);
    v3b.0.kernel.unconditional_start = true;
    let mut v4 = gemm("GEMM v4 K16384", one(7168, 16384), 128, 6, 18.2, false);
    let mut v4_short = gemm("GEMM v4 K7168", one(4096, 7168), 64, 8, 8.3, false);
    for v4 in [&mut v4, &mut v4_short] {
        v4.0.split_k = 2;
        v4.0.kernel.unconditional_start = true;
        v4.0.kernel.reduction = Reduction::Atomics;
    }
    all.extend([v3b, v4, v4_short]);
    all.into_iter()
        .map(|(outline, published_us, fitted)| Point {
            name: outline.name.clone(),
            published_us,
            fitted,
            workload: outline.workload(),
        })
        .collect()
}
