//! Sequences of launches: programmatic dependent launch beyond what faults/programmatic/ covers with two launches.

use ptx_emulator::{
    Checks, Device, DeviceConfig, FaultKind, Launch, Module, Schedule, Stop, Stopped,
};

const SCHEDULES: [Schedule; 6] = [
    Schedule::Eager,
    Schedule::Lazy,
    Schedule::Random(1),
    Schedule::Random(2),
    Schedule::Random(3),
    Schedule::Random(4),
];

/// An entry with one pointer per name, `%p` the thread's own word of each, and `body`.
fn module(pointers: &[&str], body: &str) -> Module {
    let params: Vec<String> = pointers
        .iter()
        .map(|p| format!(".param .u64 {p}"))
        .collect();
    let loads: String = (pointers.iter())
        .map(|p| format!("ld.param.u64 %{p}, [{p}]; add.u64 %{p}, %{p}, %offset;\n"))
        .collect();
    let registers: Vec<String> = pointers.iter().map(|p| format!("%{p}")).collect();
    let text = format!(
        ".version 8.6\n.target sm_100a\n.address_size 64\n.visible .entry k({}) {{\n.reg .b32 %thread, %x; .reg .b64 %offset, {};\n\
         mov.u32 %thread, %tid.x; mul.wide.u32 %offset, %thread, 4;\n{loads}{body}\nret;\n}}\n",
        params.join(", "),
        registers.join(", ")
    );
    Module::load("k", &text).unwrap()
}

fn launch(pointers: &[u64], programmatic: bool) -> Launch {
    Launch {
        entry: "k".into(),
        grid: [1; 3],
        block: [32, 1, 1],
        cluster: [1; 3],
        dynamic_shared: 0,
        params: pointers.iter().flat_map(|p| p.to_le_bytes()).collect(),
        programmatic,
    }
}

fn device(checks: Checks) -> Device {
    Device::new(DeviceConfig {
        checks,
        ..DeviceConfig::default()
    })
}

fn words(device: &Device, address: u64) -> Vec<u32> {
    let bytes = device.read(address, 128).unwrap();
    let word = |b: &[u8]| u32::from_le_bytes(b.try_into().unwrap());
    bytes.chunks_exact(4).map(word).collect()
}

const PRODUCE: &str = "griddepcontrol.launch_dependents; st.global.u32 [%out], %thread;";

fn is_dependency(stopped: &Stopped, on: usize, from: usize) -> bool {
    matches!(&stopped.stop, Stop::Fault(fault)
        if matches!(&fault.kind, FaultKind::LaunchDependency { launch, .. } if *launch == on))
        && stopped.launch == from
}

#[test]
fn a_launch_that_never_waits_passes_nothing_on() {
    let produce = module(&["out"], PRODUCE);
    let middle = |wait: &str| {
        module(
            &["other"],
            &format!("griddepcontrol.launch_dependents; {wait} st.global.u32 [%other], %thread;"),
        )
    };
    let consume = module(
        &["out", "copy"],
        "griddepcontrol.wait; ld.global.u32 %x, [%out]; st.global.u32 [%copy], %x;",
    );
    for schedule in SCHEDULES {
        for (wait, holds) in [("griddepcontrol.wait;", true), ("", false)] {
            let mut device = device(Checks::All);
            let [out, other, copy] = ["out", "other", "copy"].map(|n| device.allocate(n, 128, 0));
            let middle = middle(wait);
            let launches = [
                launch(&[out], false),
                launch(&[other], true),
                launch(&[out, copy], true),
            ];
            let [first, second, third] = &launches;
            let sequence = [(&produce, first), (&middle, second), (&consume, third)];
            let result = device.launch_sequence(&sequence, schedule);
            match result {
                Ok(reports) => {
                    assert!(holds && reports.len() == 3, "{schedule:?}: not seen");
                    assert_eq!(words(&device, copy), (0..32).collect::<Vec<_>>());
                }
                Err(stopped) => assert!(
                    !holds && is_dependency(&stopped, 0, 2),
                    "{schedule:?}: {stopped}"
                ),
            }
        }
    }
}

#[test]
fn launches_that_communicate_are_told_apart_by_clocks() {
    // The atomic makes their clusters run together.
    let produce = module(
        &["out", "count"],
        "griddepcontrol.launch_dependents; st.global.u32 [%out], %thread; red.global.add.u32 [%count], 1;",
    );
    let consume = |before: &str, behind: &str| {
        module(
            &["out", "copy"],
            &format!(
                "{before} griddepcontrol.wait; {behind} st.global.u32 [%copy], %x; red.global.add.u32 [%copy], 1;"
            ),
        )
    };
    let read = "ld.global.u32 %x, [%out];";
    for schedule in SCHEDULES {
        for (before, behind) in [(read, ""), ("", read)] {
            let mut device = device(Checks::All);
            let [out, count, copy] = ["out", "count", "copy"].map(|n| device.allocate(n, 128, 0));
            device.write(count, &[0; 128]).unwrap();
            let consume = consume(before, behind);
            let launches = [
                launch(&[out, count], false),
                launch(&[out, copy], true),
                launch(&[out, count], false),
            ];
            let [first, second, third] = &launches;
            let sequence = [(&produce, first), (&consume, second), (&produce, third)];
            match device.launch_sequence(&sequence, schedule) {
                Ok(_) => {
                    assert!(before.is_empty(), "{schedule:?}: not seen");
                    assert_eq!(words(&device, copy), (1..33).collect::<Vec<_>>());
                }
                Err(stopped) => {
                    let either = is_dependency(&stopped, 0, 1) || is_dependency(&stopped, 1, 0);
                    assert!(!before.is_empty() && either, "{schedule:?}: {stopped}");
                }
            }
        }
    }
}

#[test]
fn strong_accesses_show_only_where_launches_overlap() {
    // A counter that both launches use: no race by the letter, but the second must not reset it early.
    let count = "griddepcontrol.launch_dependents; red.global.add.u32 [%n], 1; bar.sync 0;
        atom.global.add.u32 %x, [%n], 0; st.global.u32 [%out], %x;";
    let count = module(&["n", "out"], count);
    let reset = module(
        &["n"],
        "atom.global.exch.b32 %x, [%n], 77; griddepcontrol.wait;",
    );
    let run = |schedule| {
        let mut device = device(Checks::All);
        let [n, out] = ["n", "out"].map(|name| device.allocate(name, 128, 0));
        device.write(n, &[0; 128]).unwrap();
        let (first, second) = (launch(&[n, out], false), launch(&[n], true));
        let sequence = [(&count, &first), (&reset, &second)];
        device.launch_sequence(&sequence, schedule).unwrap();
        words(&device, out)
    };
    assert_eq!(run(Schedule::Eager), vec![1; 32]);
    let seen = (0..40).any(|seed| run(Schedule::Random(seed)) != vec![1; 32]);
    assert!(
        seen,
        "no random schedule lets the second launch start early"
    );
}

#[test]
fn without_checks_the_values_show_it() {
    let produce = module(&["out"], PRODUCE);
    let consume = module(
        &["out", "copy"],
        "ld.global.u32 %x, [%out]; griddepcontrol.wait; st.global.u32 [%copy], %x;",
    );
    let run = |schedule, programmatic| {
        let mut device = device(Checks::None);
        let [out, copy] = ["out", "copy"].map(|n| device.allocate(n, 128, 0));
        device.write(out, &[9; 128]).unwrap();
        let (first, second) = (launch(&[out], false), launch(&[out, copy], programmatic));
        let sequence = [(&produce, &first), (&consume, &second)];
        device.launch_sequence(&sequence, schedule).unwrap();
        words(&device, copy)
    };
    let right: Vec<u32> = (0..32).collect();
    assert_eq!(run(Schedule::Eager, true), right);
    assert_eq!(run(Schedule::Lazy, false), right);
    assert_eq!(run(Schedule::Lazy, true), vec![0x0909_0909; 32]);
}

#[test]
fn an_impossible_launch_is_named_before_any_runs() {
    let produce = module(&["out"], PRODUCE);
    let mut device = device(Checks::All);
    let out = device.allocate("out", 128, 0);
    let before = words(&device, out);
    let (good, bad) = (launch(&[out], false), launch(&[], false));
    let stopped = device
        .launch_sequence(&[(&produce, &good), (&produce, &bad)], Schedule::Eager)
        .unwrap_err();
    assert!(
        stopped.launch == 1 && matches!(stopped.stop, Stop::Usage(_)),
        "{stopped}"
    );
    assert_eq!(words(&device, out), before);
}

/// Independent clusters run on all host threads; that must not show.
#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let body = "mov.u32 %x, %ctaid.x; mul.wide.u32 %extra, %x, 128; add.u64 %out, %out, %extra;
        mad.lo.u32 %x, %x, 1000, %thread; st.global.u32 [%out], %x; st.global.u32 [%flag], %x;";
    let body = format!(".reg .b64 %extra;\n{body}");
    let module = module(&["out", "flag"], &body);
    let run = |threads, checks, schedule| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap().install(|| {
            let mut device = device(checks);
            let [out, flag] = [("out", 128 * 64), ("flag", 128)]
                .map(|(name, bytes)| device.allocate(name, bytes, 0));
            let grid = [64, 1, 1];
            let launch = Launch {
                grid,
                ..launch(&[out, flag], false)
            };
            let result = device.launch(&module, &launch, schedule);
            (
                result.map_err(|stop| stop.to_string()),
                device.read(out, 128 * 64).unwrap(),
            )
        })
    };
    for schedule in SCHEDULES {
        // The race for the flag is reported in the same words; without checks the rest is the same.
        let (report, _) = run(1, Checks::All, schedule);
        assert!(
            report
                .as_ref()
                .is_err_and(|text| text.contains("data race"))
        );
        let unchecked = run(1, Checks::None, schedule);
        for threads in [2, 3, 8] {
            assert_eq!(run(threads, Checks::All, schedule).0, report);
            assert_eq!(run(threads, Checks::None, schedule), unchecked);
        }
    }
}
