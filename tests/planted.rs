//! Planted mistakes: the verifier must not pass a kernel that is wrong.

use nvfp4gen::artifact::Kernel;
use nvfp4gen::device::Schedule;
use nvfp4gen::emit;
use nvfp4gen::plan::Target;
use nvfp4gen::plan::schedule::Order;
use nvfp4gen::plan::sm_100a::{CacheHint, Choices, Reduction, plan};
use nvfp4gen::plan::target::SM_100A;
use nvfp4gen::plan::tiling::Widths;
use nvfp4gen::problem::{Group, OutputType, Set, Weights};
use nvfp4gen::trial;
use nvfp4gen::verify::{Data, GroupInputs};

fn set() -> Set {
    let group = |m, n, k| Group { m, n, k };
    Set {
        name: "planted".into(),
        groups: vec![group(40, 136, 1344), group(150, 256, 1600)],
        output: OutputType::F16,
        weights: Weights::Dynamic,
    }
}

/// Two CTAs, so that each has several tiles and every ring wraps.
fn kernel(set: &Set) -> Kernel {
    let target = Target { sms: 2, ..SM_100A };
    let plan = plan(set, target, choices(2, Widths::UpTo(192), 2)).unwrap();
    emit::kernel(&plan).unwrap()
}

/// CTAs that work alone.
fn choices(ctas: u32, widths: Widths, accumulators: u32) -> Choices {
    Choices {
        k_block: 256,
        widths,
        accumulators,
        order: Order::Balanced,
        ctas,
        pair: false,
        multicast: false,
        split_k: 1,
        reduction: Reduction::Cluster,
        chunk: 32,
        prefetch: 0,
        weights_hint: CacheHint::Normal,
        tokens_hint: CacheHint::Normal,
    }
}

fn passes(kernel: &Kernel, given: &[GroupInputs], judged: &[GroupInputs]) -> bool {
    let set = set();
    [Schedule::Eager, Schedule::Lazy]
        .into_iter()
        .all(|schedule| match trial::execute(kernel, given, schedule) {
            Ok(outputs) => trial::judge(kernel, &set, judged, &outputs)
                .unwrap()
                .passed(),
            Err(error) => {
                assert!(error.is_fault(), "{error}");
                false
            }
        })
}

/// The kernel with every occurrence of some text replaced; there must be one.
fn planted(from: &str, to: &str) -> Kernel {
    let right = kernel(&set());
    assert!(right.ptx.contains(from), "no `{from}` in the kernel");
    Kernel::new(right.entry.clone(), right.ptx.replace(from, to))
}

#[test]
fn the_kernel_itself_passes() {
    let inputs = trial::inputs(&set(), 3, Data::FullRange).unwrap();
    assert!(passes(&kernel(&set()), &inputs, &inputs));
}

#[test]
fn planted_mistakes_do_not() {
    let inputs = trial::inputs(&set(), 3, Data::FullRange).unwrap();
    let mistakes = [
        (
            "the producer starts with the wrong parity",
            "mov.u32     %parity, 1;",
            "mov.u32     %parity, 0;",
        ),
        (
            "the consumer starts with the wrong parity",
            "mov.u32     %parity, 0;",
            "mov.u32     %parity, 1;",
        ),
        (
            "parity never flips",
            "@%wrap xor.b32 %parity, %parity, 1;",
            "",
        ),
        (
            "MMAs do not wait for their operands",
            "mbarrier.try_wait.parity.shared::cta.b64 %ready, [%full], %parity;",
            "setp.eq.u32 %ready, 0, 0;",
        ),
        (
            "the epilogue does not wait for its registers",
            "tcgen05.wait::ld.sync.aligned;",
            "",
        ),
        (
            "operand descriptor: version bit lost",
            "%operand_high, 0x40004040",
            "%operand_high, 0x40000040",
        ),
        (
            "operand descriptor: Hopper's swizzle code",
            "%operand_high, 0x40004040",
            "%operand_high, 0x80004040",
        ),
        (
            "operand descriptor: rows too close",
            "%operand_high, 0x40004040",
            "%operand_high, 0x40004020",
        ),
        (
            "scale descriptor: rows too far",
            "%scale_high, 0x00004008",
            "%scale_high, 0x00004010",
        ),
        (
            "weights and tokens exchanged",
            "[%weight_map, {%k_byte, %weight_row}]",
            "[%token_map, {%k_byte, %weight_row}]",
        ),
        (
            "scales of the next K block",
            "mov.u32     %k_byte, 0;",
            "mov.u32     %k_byte, 0; add.u64 %weight_scales, %weight_scales, 512;",
        ),
        (
            "stale accumulator",
            "mov.pred    %accumulate, 0;",
            "mov.pred    %accumulate, 1;",
        ),
        (
            "halves of a pair swapped",
            "%packed0, %low_lanes1, %low_lanes0;",
            "%packed0, %low_lanes0, %low_lanes1;",
        ),
        (
            "rows beyond M are stored",
            "setp.lt.and.u32 %store, %token, %rows, %in_n;",
            "mov.pred %store, %in_n;",
        ),
        (
            "columns beyond N are stored",
            "setp.lt.and.u32 %store, %token, %rows, %in_n;",
            "setp.lt.u32 %store, %token, %rows;",
        ),
    ];
    for (what, from, to) in mistakes {
        assert!(
            !passes(&planted(from, to), &inputs, &inputs),
            "{what}: not noticed"
        );
    }
}

#[test]
fn swapped_nibbles_are_noticed() {
    let right = trial::inputs(&set(), 3, Data::FullRange).unwrap();
    let mut swapped = right.clone();
    for byte in &mut swapped[1].a {
        *byte = byte.rotate_left(4);
    }
    assert!(!passes(&kernel(&set()), &swapped, &right));
}

#[test]
fn padding_of_scales_is_never_read_into_a_result() {
    let right = trial::inputs(&set(), 3, Data::FullRange).unwrap();
    assert!(
        right[0]
            .sfa_blocked
            .iter()
            .any(|scale| scale & 0x7F == 0x7F),
        "padding holds NaN"
    );
    assert!(passes(&kernel(&set()), &right, &right));
}

/// Token tiles may start at odd multiples of 32 rows: three slabs of scales, odd scale columns. Not the default
/// (see `Target::token_start_step`), but right where the hardware takes it.
#[test]
fn finer_token_starts_compute_the_same() {
    let target = Target {
        token_start_step: 32,
        sms: 3,
        ..SM_100A
    };
    let set = Set {
        groups: [320, 600, 400]
            .map(|m| Group { m, n: 136, k: 832 })
            .to_vec(),
        ..set()
    };
    let choices = choices(3, Widths::UpTo(256), 1);
    let plan = plan(&set, target, choices).unwrap();
    assert!(plan.token_tiles.iter().any(|t| t.scale_shift() % 2 == 1));
    assert_eq!(plan.token_tiles.iter().map(|t| t.slabs).max(), Some(3));
    let kernel = emit::kernel(&plan).unwrap();
    let inputs = trial::inputs(&set, 1, Data::FullRange).unwrap();
    for schedule in [Schedule::Eager, Schedule::Lazy, Schedule::Random(1)] {
        let outputs = trial::execute(&kernel, &inputs, schedule).unwrap();
        assert!(
            trial::judge(&kernel, &set, &inputs, &outputs)
                .unwrap()
                .passed(),
            "{schedule:?}"
        );
    }
}
