//! Designs that nobody has published, priced in outline: what to build next.

use super::*;
use nvfp4gen::model::outline::{Order, Outline, Sides};
use nvfp4gen::model::workload::Reduction;
use nvfp4gen::problem::Group;

/// A design for one problem: most tokens of a tile, SMs of a worker, parts of K, CTAs, K block.
#[derive(Clone, Copy, Debug)]
pub struct Design {
    tokens: u32,
    sms: u32,
    split_k: u32,
    ctas: u32,
    k_block: u32,
}

const SHARED_BYTES: u32 = 232_448 - 8_192 - 256;

/// The design with all the stages and accumulators that there is room for, heaviest tiles first, tensor memory allocated
/// beside the first loads, tensor maps prefetched. None if two stages or one accumulator do not fit.
pub fn outline(groups: &[Group], design: Design, early: Option<Early>) -> Option<Outline> {
    let Design {
        tokens,
        sms,
        split_k,
        ctas,
        k_block,
    } = design;
    let width = groups
        .iter()
        .map(|g| g.m.min(tokens).next_multiple_of(16))
        .max()?;
    let slabs = 1 + width.div_ceil(128);
    let stage = (128 + width / sms) * k_block / 2 + slabs * 8 * k_block;
    let scale_columns = slabs * k_block / 16;
    let (stages, accumulators) = (SHARED_BYTES / stage, (512 - scale_columns) / width);
    let reduction = if split_k > 1 {
        Reduction::Cluster(split_k)
    } else {
        Reduction::None
    };
    (stages >= 2 && accumulators >= 1).then(|| Outline {
        name: format!("{design:?}"),
        groups: groups.to_vec(),
        weight_rows: 128,
        token_rows: tokens,
        sides: Sides::WeightsOnM,
        k_block,
        split_k,
        workers: ctas / sms,
        order: Order::Balanced,
        kernel: Kernel {
            sms,
            parameter_bytes: 280 * groups.len() as u32,
            uploads: false,
            stages: stages.min(16),
            accumulators: accumulators.min(4),
            release_after: None,
            slice: 32,
            unconditional_start: true,
            allocate_first: false,
            prefetch_maps: true,
            programmatic: early.map(|early| Programmatic {
                early,
                beside: false,
            }),
            reduction,
        },
    })
}

/// K blocks of 256 alone: rows of 128 bytes, as all published kernels have them.
fn candidates(sms: u32, split_k: u32) -> impl Iterator<Item = Design> {
    let all = [64, 96, 128, 160, 192, 256].into_iter();
    all.flat_map(move |tokens| {
        [112, 128, 144, 148].map(|ctas| Design {
            tokens,
            sms,
            split_k,
            ctas,
            k_block: 256,
        })
    })
}

/// The cheapest of the candidates. A split sum is the only tile of its CTA.
fn best(
    groups: &[Group],
    sms: u32,
    split_k: u32,
    early: Option<Early>,
    machine: &Machine,
) -> Option<(f64, Design)> {
    let priced = candidates(sms, split_k).filter_map(|design| {
        let workload = outline(groups, design, early)?.workload();
        let legal = split_k == 1 || workload.workers.iter().all(|w| w.tiles.len() == 1);
        legal.then(|| (us(&workload, machine), design))
    });
    priced.min_by(|a, b| a.0.total_cmp(&b.0))
}

fn table(machine: &Machine) -> String {
    let overlap = [
        ("launches apart", None),
        ("set-up overlaps", Some(Early::Nothing)),
        ("early weights", Some(Early::Weights)),
        ("no wait at all", Some(Early::Everything)),
    ];
    let mut table = format!("memory at {} TB/s\n", machine.dram_tb_s.value);
    for (name, early) in overlap {
        for (workers, sms) in [("CTAs", 1), ("pairs", 2)] {
            let found: Vec<_> = published::leaderboard()
                .iter()
                .map(|(_, groups)| best(groups, sms, 1, early, machine).expect("a legal design"))
                .collect();
            let mean = (found.iter().map(|f| f.0.ln()).sum::<f64>() / 4.0).exp();
            write!(table, "{name:<16} {workers:<6}").expect("strings grow");
            for (us, d) in &found {
                write!(table, " {us:>6.2} ({:>3} of {:>3})", d.ctas, d.tokens)
                    .expect("strings grow");
            }
            writeln!(table, "  geomean {mean:.2}").expect("strings grow");
        }
    }
    table
}

/// For each kind of overlap, the best design of each problem (CTAs, most tokens of a tile).
#[test]
fn what_designs_would_gain() {
    let calibrated = table(&B200);
    let faster = table(&B200.with("dram_tb_s", 7.2).expect("a constant"));
    insta::assert_snapshot!("designs", format!("{calibrated}\n{faster}"));
}

/// Split K against none on the two problems with few tiles.
#[test]
fn split_k_on_few_tiles() {
    let mut table = String::from("problem  overlap         parts 1  parts 2  parts 3\n");
    for (name, groups) in &published::leaderboard()[2..] {
        for (overlap, early) in [
            ("launches apart", None),
            ("early weights", Some(Early::Weights)),
        ] {
            write!(table, "{name:<8} {overlap:<14}").expect("strings grow");
            for parts in 1..=3 {
                let found = best(groups, 1, parts, early, &B200);
                let text = found.map_or("none".to_owned(), |(us, _)| format!("{us:.2}"));
                write!(table, " {text:>8}").expect("strings grow");
            }
            table.push('\n');
        }
    }
    insta::assert_snapshot!("split_k", table);
}
