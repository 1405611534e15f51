//! The plan in words.

use super::Paragraph;
use super::figures::{bytes, count, flops, range, several};
use crate::artifact::Location;
use crate::model::Price;
use crate::model::workload::Early;
use crate::plan::schedule::Order;
use crate::plan::sm_100a::CacheHint;
use crate::plan::{Plan, TargetPlan, WEIGHT_ROWS, sm_90a, sm_100a};
use crate::problem::Weights;

pub(super) fn words(plan: &Plan, price: &Price) -> Vec<Paragraph> {
    let mut words = vec![paragraph("Problem", problem(plan))];
    if plan.schedule.tiles.is_empty() {
        let text = "No group has tokens: there is nothing to compute, and a launch does nothing.";
        words.push(paragraph("Work", text.to_owned()));
        return words;
    }
    words.push(paragraph("Tiles", tiles(plan)));
    words.push(paragraph("Schedule", schedule(plan)));
    match &plan.kernel {
        TargetPlan::Sm100a(kernel) => words.extend(blackwell(kernel, plan)),
        TargetPlan::Sm90a(kernel) => words.extend(hopper(kernel)),
    }
    words.push(paragraph("Launch", launch(plan, price)));
    words.push(paragraph("Parameters", parameters(plan)));
    words
}

fn paragraph(topic: &'static str, text: String) -> Paragraph {
    Paragraph { topic, text }
}

fn problem(plan: &Plan) -> String {
    let set = &plan.set;
    let groups = set.groups.len() as u64;
    let tokens: u64 = set.groups.iter().map(|g| u64::from(g.m)).sum();
    let of = |size: fn(&crate::problem::Group) -> u32| range(set.groups.iter().map(size));
    let weights = match set.weights {
        Weights::Static => "weights do not change while the kernel is being launched",
        Weights::Dynamic => "weights may be written by the launch before",
    };
    format!(
        "{} with {} in all: M {}, N {}, K {}. {}, at least {} of memory traffic; C is {}; {weights}.",
        several(groups, "group"),
        several(tokens, "token"),
        of(|g| g.m),
        of(|g| g.n),
        of(|g| g.k),
        flops(set.flops() as u64),
        bytes(set.bytes_moved()),
        set.output.name()
    )
}

fn tiles(plan: &Plan) -> String {
    let rows = match &plan.kernel {
        TargetPlan::Sm100a(kernel) => kernel.choices.tile_rows(),
        TargetPlan::Sm90a(_) => WEIGHT_ROWS,
    };
    let widths = plan.token_tiles.iter().map(|t| t.rows);
    let widths = match widths.clone().max() {
        Some(1) => "1 token".to_owned(),
        _ => format!("{} tokens", range(widths)),
    };
    let outputs: u32 = plan
        .token_tiles
        .iter()
        .map(|t| plan.tilings[t.tiling].weight_tiles)
        .sum();
    let split = match plan.schedule.tiles.len() {
        parts if parts == outputs as usize => String::new(),
        parts => format!(
            " Sums over K are split: {} of work in all, at most {} to a sum.",
            several(parts as u64, "piece"),
            plan.schedule.most_parts()
        ),
    };
    format!(
        "The output is cut into {} of {rows} weight rows by {widths}. Weights are on the M side of the tensor core, \
         tokens on its N side.{split}",
        several(outputs, "tile"),
    )
}

fn schedule(plan: &Plan) -> String {
    let lengths = plan.schedule.ctas.iter().map(|r| r.end - r.start);
    let ctas: u32 = plan.launch.grid.iter().product();
    let order = match &plan.kernel {
        TargetPlan::Sm100a(kernel) => order(kernel.choices.order),
        TargetPlan::Sm90a(_) => "the heaviest tile goes first, to the CTA that has least",
    };
    let sms = plan.target.sms;
    let waves = if ctas <= sms {
        format!("{} on {sms} SMs", several(ctas, "CTA"))
    } else {
        format!("{} in turns on {sms} SMs", several(ctas, "CTA"))
    };
    let whose = if plan.schedule.ctas.len() as u32 == ctas {
        "Each has"
    } else {
        "Each two side by side have"
    };
    let most = lengths.clone().max().unwrap_or(0);
    let noun = if most == 1 { "tile" } else { "tiles" };
    format!(
        "{waves}. {whose} {} {noun}, fixed beforehand: {order}.",
        range(lengths)
    )
}

fn order(order: Order) -> &'static str {
    match order {
        Order::Runs => "runs of equal length from one list",
        Order::Columns => {
            "all token tiles of a weight tile stay together, the heaviest such column first"
        }
        Order::Balanced => {
            "the heaviest tile first, to whoever has least, but to one that has the same weights already where that delays \
             nobody"
        }
        Order::Stream => {
            "one list of K blocks cut into runs of equal cost, so that tiles at the ends are shared"
        }
    }
}

fn blackwell(kernel: &sm_100a::Kernel, plan: &Plan) -> Vec<Paragraph> {
    let choices = &kernel.choices;
    let mut words = vec![paragraph("Teams", teams(choices))];
    let rings = &kernel.shared.rings;
    words.push(paragraph(
        "Loads",
        format!(
            "One warp fills a ring of {} stages of {} bytes, each one K block of {}; {} may be in flight on an SM. L2 is told \
             that weights {} and tokens {}.",
            range(rings.iter().map(|r| r.stages)),
            range(rings.iter().map(|r| r.pitch)),
            choices.k_block,
            bytes(u64::from(
                rings.iter().map(|r| r.stages * r.pitch).max().unwrap_or(0)
            )),
            hint(choices.weights_hint),
            hint(choices.tokens_hint)
        ),
    ));
    let reuse = match kernel.tensor.places.iter().filter_map(|p| p.after).min() {
        None => "no tile has to wait for columns of another".to_owned(),
        Some(1) => "somewhere a tile waits for the epilogue of the tile right before it".to_owned(),
        Some(ago) => {
            format!("a tile waits for the epilogue of the tile {ago} before it, at the soonest")
        }
    };
    words.push(paragraph(
        "MMAs",
        format!(
            "One warp copies scales to tensor memory and multiplies, K = 64 at a time. At most {} in tensor memory; {reuse}. \
             {} warps convert {} columns at a time and store them.",
            several(kernel.tensor.accumulators, "accumulator"),
            sm_100a::EPILOGUE_WARPS,
            choices.chunk
        ),
    ));
    if plan.schedule.most_parts() > 1 {
        words.push(paragraph("Split sums", split(kernel)));
    }
    words
}

fn teams(choices: &sm_100a::Choices) -> String {
    let text = match (choices.pair, choices.multicast) {
        (false, false) => "Each CTA loads and multiplies for itself.",
        (true, false) => {
            "Two CTAs multiply together over 256 weight rows (cta_group::2): each holds its own weights and half of the \
             tokens."
        }
        (true, true) => {
            "Two CTAs multiply together over 256 weight rows (cta_group::2): each holds its own weights and half of the \
             tokens, and fetches half of the token scales for both."
        }
        (false, true) => {
            "Two CTAs stand side by side: each multiplies its own 128 weight rows, and fetches half of the tokens and their \
             scales for both."
        }
    };
    text.to_owned()
}

fn split(kernel: &sm_100a::Kernel) -> String {
    let choices = &kernel.choices;
    if choices.splits_in_cluster() {
        format!(
            "The {} CTAs of a cluster share a sum and exchange their parts through distributed shared memory; parts are added \
             in the order of K.",
            choices.split_k
        )
    } else {
        format!(
            "Parts are written to a workspace of {} in device memory; whoever comes last adds them up in the order of K.",
            bytes(u64::from(kernel.workspace.bytes))
        )
    }
}

fn hint(hint: CacheHint) -> &'static str {
    match hint {
        CacheHint::Normal => "are as any bytes",
        CacheHint::EvictFirst => "are not needed again",
        CacheHint::EvictLast => "are needed again",
    }
}

fn hopper(kernel: &sm_90a::Kernel) -> Vec<Paragraph> {
    let shared = &kernel.shared;
    let loads = format!(
        "One warp fills a ring of {} stages of {} bytes, each one K block of {}.",
        shared.stages,
        count(shared.stage.bytes),
        sm_90a::K_BLOCK
    );
    let multiply = format!(
        "Hopper has no FP4 tensor core. {} warps turn tokens into f16 in {} slots of shared memory; {} warps turn weights \
         into f16 in registers and multiply (wgmma){}. Sums stay in registers until they are stored; widths {} have code \
         of their own.",
        kernel.roles.token_warps,
        shared.slots,
        kernel.roles.token_warp,
        match kernel.roles.teams {
            1 => "",
            _ =>
                ", as two teams that take K blocks in turn and add their sums through shared memory",
        },
        kernel
            .widths
            .iter()
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    );
    vec![paragraph("Loads", loads), paragraph("MMAs", multiply)]
}

fn launch(plan: &Plan, price: &Price) -> String {
    let overlap = match price.programmatic.map(|p| (p.early, p.beside)) {
        None => "It starts when the launch before has ended.".to_owned(),
        Some((early, beside)) => {
            let what = match early {
                Early::Nothing => "set-up runs",
                Early::Weights => "set-up runs and the first ring of weights is loaded",
                Early::Everything => "everything runs",
            };
            let room = if beside {
                "there is room for a CTA of the next launch beside one of this"
            } else {
                "a CTA starts on an SM as soon as the one before has left it"
            };
            format!(
                "With programmatic dependent launch {what} while the launch before still finishes; {room}."
            )
        }
    };
    let [x, y, z] = plan.launch.cluster;
    let cluster = match x * y * z {
        1 => String::new(),
        ctas => format!(" in clusters of {ctas}"),
    };
    format!(
        "{} of {} threads{cluster}, {} bytes of dynamic shared memory each. {overlap}",
        several(plan.launch.grid.iter().product::<u32>(), "CTA"),
        plan.launch.block.iter().product::<u32>(),
        count(plan.launch.dynamic_shared)
    )
}

fn parameters(plan: &Plan) -> String {
    let block = &plan.parameters;
    let place = match block.location {
        Location::Parameter => "by value, as the kernel's one parameter",
        Location::Device => {
            "as a table in device memory, because a kernel's parameters have no room for it"
        }
    };
    let columns: Vec<&str> = plan.table.columns.iter().map(|c| c.name).collect();
    let table = match columns.as_slice() {
        [] => "Nothing else differs from tile to tile.".to_owned(),
        columns => format!(
            "What differs from tile to tile comes from a constant table: {}.",
            columns.join(", ")
        ),
    };
    format!(
        "{} bytes with {} and {}, {place}. {table}",
        count(block.bytes),
        several(block.tensor_maps.len() as u64, "tensor map"),
        several(block.pointers.len() as u64, "pointer"),
    )
}
