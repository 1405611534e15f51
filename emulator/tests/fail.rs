//! Kernels that are wrong. Each must stop with the named fault at the marked line: `...;  //~ Deadlock`.

use ptx_emulator::{
    Device, DeviceConfig, Fault, FaultKind, Launch, LoadErrorKind, Module, Schedule, Stop,
};

fn header<'a>(text: &'a str, key: &str) -> &'a str {
    text.lines()
        .find_map(|l| l.strip_prefix(&format!("// {key} ")))
        .unwrap_or_else(|| panic!("no `// {key}`"))
}

fn name(kind: &FaultKind) -> String {
    let debug = format!("{kind:?}");
    debug
        .split(|c: char| !c.is_alphanumeric())
        .next()
        .unwrap_or_default()
        .into()
}

fn run(file: &str, text: &str, schedule: Schedule) -> Result<(), Stop> {
    let module = Module::load(file, text).unwrap_or_else(|e| panic!("{e}"));
    let mut device = Device::new(DeviceConfig {
        instruction_limit: 100_000,
        ..DeviceConfig::default()
    });
    let out = device.allocate("out", 64, 0);
    let cluster = [header(text, "cluster").parse().unwrap(), 1, 1];
    let launch = Launch {
        entry: "test".into(),
        grid: cluster,
        block: [header(text, "block").parse().unwrap(), 1, 1],
        cluster,
        dynamic_shared: 0,
        params: out.to_le_bytes().to_vec(),
        programmatic: false,
    };
    device.launch(&module, &launch, schedule).map(|_| ())
}

fn check(file: &str, text: &str) {
    // Several marked lines: either party may be the one that is caught.
    let marked: Vec<(u32, &str)> = text
        .lines()
        .enumerate()
        .filter_map(|(i, l)| Some((i as u32 + 1, l.split_once("//~ ")?.1.trim())))
        .collect();
    let (_, kind) = *marked
        .first()
        .unwrap_or_else(|| panic!("{file} marks no line"));
    let schedules = match header(text, "schedule") {
        "eager" => vec![Schedule::Eager, Schedule::Lazy, Schedule::Random(3)],
        "lazy" => vec![Schedule::Lazy],
        other => panic!("schedule {other}"),
    };
    for schedule in schedules {
        match run(file, text, schedule) {
            Err(Stop::Fault(Fault { kind: found, site })) => {
                let report = format!("{file} {schedule:?}: {site}: {found}");
                assert_eq!(name(&found), kind, "{report}");
                // An endless loop may be caught anywhere inside.
                assert!(
                    marked.iter().any(|(line, _)| *line == site.line)
                        || matches!(found, FaultKind::InstructionLimit(_)),
                    "{report}"
                );
                println!("{report}");
            }
            other => panic!("{file} {schedule:?}: expected {kind}, got {other:?}"),
        }
    }
}

macro_rules! fail {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            check(concat!(stringify!($name), ".ptx"), include_str!(concat!("fail/", stringify!($name), ".ptx")));
        }
    )*};
}

fail! {
    global_out_of_bounds global_misaligned shared_out_of_bounds shared_of_another_cta
    barrier_uninitialised barrier_over_arrival barrier_overwritten barrier_transaction_overflow
    wrong_parity too_few_bytes spinning_test_wait
    half_a_warp_at_bar_sync branch_around_a_collective missing_warp_at_barrier barrier_counts_differ
    cluster_wait_without_arrival exit_with_a_load_in_flight exit_with_a_store_in_flight
    bulk_copy_misaligned not_a_tensor_map
    tensor_memory_leaked tensor_memory_unallocated tensor_memory_of_another_warp tensor_memory_freed_twice
    alloc_of_odd_columns alloc_under_divergence descriptor_without_constant instruction_descriptor_illegal
    trap endless_loop
}

fn refusal(body: &str) -> (LoadErrorKind, String) {
    let text = format!(
        ".version 8.7\n.target sm_100a\n.visible .entry k() {{\n.reg .pred %p<2>; .reg .b32 %r<2>; .reg .b64 %rd<2>;\n{body}\nret;\n}}"
    );
    let error = Module::load("k.ptx", &text)
        .err()
        .unwrap_or_else(|| panic!("accepted: {body}"));
    (error.kind, error.to_string())
}

#[test]
fn what_is_not_implemented_is_refused_with_its_place() {
    use LoadErrorKind::{Invalid, Syntax, Unsupported};
    let cases = [
        (
            "frobnicate.b32 %r0, %r1;",
            Unsupported,
            "k.ptx:5:1: not supported by the emulator: frobnicate.b32: unknown instruction",
        ),
        (
            "add.u32.strange %r0, %r1, 1;",
            Unsupported,
            "k.ptx:5:1: not supported by the emulator: add.u32.strange: modifier `.strange` is not implemented here",
        ),
        (
            "add.u32 %r0, %r1;",
            Invalid,
            "k.ptx:5:1: invalid PTX: add.u32: operand 3 is missing",
        ),
        (
            "add.u32 %r0, %r1, 1, 2;",
            Unsupported,
            "k.ptx:5:1: not supported by the emulator: add.u32: operand 4 is not implemented here",
        ),
        (
            "mov.b32 %r9, 1;",
            Invalid,
            "k.ptx:5:1: invalid PTX: mov.b32: `%r9` is not a register",
        ),
        (
            "mov.b32 %r0, nowhere;",
            Invalid,
            "k.ptx:5:1: invalid PTX: mov.b32: `nowhere` is not declared",
        ),
        (
            "bra NOWHERE;",
            Invalid,
            "k.ptx:5:1: invalid PTX: label `NOWHERE` is not declared in this scope",
        ),
        (
            "@%r0 bra X; X:",
            Invalid,
            "k.ptx:5:1: invalid PTX: `%r0` is not a predicate",
        ),
        (
            "{ .reg .b32 %inner; } mov.b32 %inner, 1;",
            Invalid,
            "k.ptx:5:23: invalid PTX: mov.b32: `%inner` is not a register",
        ),
        (
            "add.u32 %r0 %r1;",
            Syntax,
            "k.ptx:5:13: syntax error: expected `;`, found `%r1`",
        ),
        (
            "tcgen05.mma.cta_group::1.kind::mxf4nvf4.block_scale [%r0], %rd0, %rd1, %r1, [%r0], [%r0], 1;",
            Invalid,
            "k.ptx:5:1: invalid PTX: tcgen05.mma.cta_group::1.kind::mxf4nvf4.block_scale: kind::mxf4nvf4 needs a scale vector size",
        ),
    ];
    for (body, kind, message) in cases {
        assert_eq!(refusal(body), (kind, message.to_string()));
    }
}

#[test]
fn impossible_launches_are_usage_errors() {
    let module = Module::load(
        "k.ptx",
        ".version 8.7\n.target sm_100a\n.visible .entry k(.param .u32 a)\n.reqntid 32 { ret; }",
    )
    .unwrap();
    let good = Launch {
        entry: "k".into(),
        grid: [2, 1, 1],
        block: [32, 1, 1],
        cluster: [1, 1, 1],
        dynamic_shared: 0,
        params: vec![0; 4],
        programmatic: false,
    };
    let run = |launch: &Launch| {
        Device::new(DeviceConfig::default()).launch(&module, launch, Schedule::Eager)
    };
    assert_eq!(run(&good).unwrap().ctas, 2);
    let bad = [
        Launch {
            entry: "other".into(),
            ..good.clone()
        },
        Launch {
            block: [64, 1, 1],
            ..good.clone()
        },
        Launch {
            params: vec![0; 8],
            ..good.clone()
        },
        Launch {
            cluster: [4, 1, 1],
            ..good.clone()
        },
        Launch {
            grid: [0, 1, 1],
            ..good.clone()
        },
        Launch {
            dynamic_shared: 1 << 20,
            ..good.clone()
        },
    ];
    for launch in &bad {
        assert!(matches!(run(launch), Err(Stop::Usage(_))), "{launch:?}");
    }
}
