//! Sets of so many groups that their addresses are a table in device memory: right numbers, a copy only when an address
//! has changed, and nothing of one launch in another that is in flight.

// Raw handles and addresses, as callers have them.
#![allow(unsafe_code)]

mod gpu;

use std::collections::BTreeSet;

use cudarc::driver::sys;
use gpu::{Operands, all_live, fail, live, loaded, run_and_check, shipped, with_driver};
use nvfp4gen::artifact::Location;
use nvfp4gen::problem::{Group, OutputType, Set, Weights};
use nvfp4gen::runtime::{Device, Error, Graph, Kernel, Node, Pointers, Stream};

/// The fewest groups that do not fit a parameter block, as small as groups can be, and an empty one among them.
fn smallest() -> Set {
    let group = |index| Group {
        m: u32::from(index != 7),
        n: 8,
        k: 64,
    };
    Set {
        name: "119 groups".into(),
        groups: (0..119).map(group).collect(),
        output: OutputType::F16,
        weights: Weights::Static,
    }
}

/// A device, a stream, the kernel of `smallest` and distinct operands.
fn several(count: u64) -> (Stream, Kernel, Vec<Operands>) {
    let set = smallest();
    let (device, stream, kernel) = loaded(&set);
    assert_eq!(kernel.entry().parameters.location, Location::Device);
    let data = (0..count)
        .map(|seed| Operands::new(&device, &stream, &set, seed).unwrap())
        .collect();
    (stream, kernel, data)
}

/// Whether the launch copies its table when `work` enqueues it: a copy that is made to fail is an error.
fn copies(work: impl FnOnce() -> Result<(), Error>) -> bool {
    fail("cuMemcpyHtoDAsync:1:CUDA_ERROR_UNKNOWN");
    let done = work();
    fail("");
    match done {
        Ok(()) => false,
        Err(Error::Call(error)) if error.call == "cuMemcpyHtoDAsync_v2" => true,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn sets_of_128_and_256_groups_give_the_right_numbers() {
    with_driver(
        "sets_of_128_and_256_groups_give_the_right_numbers",
        &[],
        || {
            for name in ["groups-128", "groups-256"] {
                let set = shipped("many-groups.toml", name);
                let (device, stream, kernel) = loaded(&set);
                assert!(kernel.uses_table());
                assert_eq!(kernel.replaced_maps(), 0);
                let mut launch = kernel.prepare();
                for seed in 0..2 {
                    let data = Operands::new(&device, &stream, &set, seed).unwrap();
                    run_and_check(&mut launch, &stream, &data).unwrap();
                }
            }
        },
    );
}

#[test]
fn a_table_is_written_only_when_an_address_has_changed() {
    with_driver(
        "a_table_is_written_only_when_an_address_has_changed",
        &[],
        || {
            let (stream, kernel, data) = several(2);
            let [one, two] = [0, 1].map(|i: usize| data[i].pointers());
            let mut launch = kernel.prepare();
            launch.bind(&one).unwrap();
            assert!(copies(|| launch.enqueue(&stream)), "the first launch");
            // It failed: what was not copied then has to be now.
            assert!(copies(|| launch.enqueue(&stream)));
            launch.enqueue(&stream).unwrap();
            assert!(!copies(|| launch.enqueue(&stream)), "nothing was bound");
            launch.bind(&one).unwrap();
            assert!(!copies(|| launch.enqueue(&stream)), "the same was bound");
            let other = Stream::new(kernel.device()).unwrap();
            assert!(!copies(|| launch.enqueue(&other)), "in another stream");
            let mut mixed = one.clone();
            mixed[118] = two[118];
            launch.bind(&mixed).unwrap();
            assert!(copies(|| launch.enqueue(&stream)), "one group has changed");
            launch.enqueue(&stream).unwrap();
            // A bind that fails half-way leaves half of its addresses in the block.
            let mut bad = two.clone();
            bad[118] = two[117];
            assert!(matches!(launch.bind(&bad), Err(Error::SameOutput { .. })));
            assert!(matches!(launch.enqueue(&stream), Err(Error::Unbound)));
            launch.bind(&mixed).unwrap();
            assert!(copies(|| launch.enqueue(&stream)), "after a failed bind");
            // A clone has tables of its own.
            launch.enqueue(&stream).unwrap();
            assert!(copies(|| launch.clone().enqueue(&stream)));
            launch.launch(&stream, &two).unwrap();
            stream.synchronize().unwrap();
            other.synchronize().unwrap();
            data.iter().for_each(|data| data.check(&stream).unwrap());
        },
    );
}

/// The emulated driver runs streams as late as it may; more addresses than there are tables to take in turn.
#[test]
fn launches_in_flight_keep_their_tables() {
    let lazy = [("PTXEMU_STREAMS", "lazy")];
    with_driver("launches_in_flight_keep_their_tables", &lazy, || {
        let (stream, kernel, data) = several(12);
        let mut launch = kernel.prepare();
        // To ask would be progress: no launch is ever through unless it is waited for.
        fail("cuEventQuery:1+:CUDA_ERROR_NOT_READY");
        for (index, data) in data.iter().enumerate() {
            launch.launch(&stream, &data.pointers()).unwrap();
            assert_eq!(live("events"), (index as u64 + 1).min(8), "launch {index}");
        }
        fail("");
        launch.bind(&data[0].pointers()).unwrap();
        stream.synchronize().unwrap();
        data.iter().for_each(|data| data.check(&stream).unwrap());
    });
}

#[test]
fn a_table_that_is_through_is_taken_again() {
    with_driver("a_table_that_is_through_is_taken_again", &[], || {
        let (stream, kernel, data) = several(2);
        let mut launch = kernel.prepare();
        let none = live("events");
        for data in data.iter().cycle().take(6) {
            launch.launch(&stream, &data.pointers()).unwrap();
            stream.synchronize().unwrap();
        }
        assert_eq!(live("events"), none + 1);
        data.iter().for_each(|data| data.check(&stream).unwrap());
        drop(launch);
        assert_eq!(live("events"), none);
    });
}

/// The second stream has to wait for the copy in the first, and dropping for both.
#[test]
fn streams_are_ordered_and_dropping_waits() {
    let lazy = [("PTXEMU_STREAMS", "lazy")];
    with_driver("streams_are_ordered_and_dropping_waits", &lazy, || {
        let (first, kernel, data) = several(2);
        let second = Stream::new(kernel.device()).unwrap();
        let mut launch = kernel.prepare();
        launch.launch(&first, &data[0].pointers()).unwrap();
        launch.enqueue(&second).unwrap();
        second.synchronize().unwrap();
        data[0].check(&second).unwrap();
        launch.launch(&second, &data[1].pointers()).unwrap();
        drop(launch);
        second.synchronize().unwrap();
        data[1].check(&second).unwrap();
    });
}

#[test]
fn one_launch_may_be_enqueued_by_many_threads() {
    with_driver("one_launch_may_be_enqueued_by_many_threads", &[], || {
        let (stream, kernel, data) = several(4);
        let mut shared = kernel.prepare();
        shared.bind(&data[0].pointers()).unwrap();
        std::thread::scope(|scope| {
            let (shared, stream, kernel) = (&shared, &stream, &kernel);
            for _ in 0..2 {
                scope.spawn(|| shared.enqueue(stream).unwrap());
            }
            for data in &data[1..] {
                scope.spawn(move || {
                    let own = Stream::new(kernel.device()).unwrap();
                    run_and_check(&mut kernel.prepare(), &own, data).unwrap();
                });
            }
        });
        data[0].check(&stream).unwrap();
    });
}

#[test]
fn graphs_have_tables_of_their_own() {
    let lazy = [("PTXEMU_STREAMS", "lazy")];
    with_driver("graphs_have_tables_of_their_own", &lazy, || {
        let (stream, kernel, data) = several(4);
        let mut launch = kernel.prepare();
        launch.bind(&data[0].pointers()).unwrap();
        let mut graph = Graph::record(&launch).unwrap();
        assert!(data[0].is_untouched(&stream).unwrap());
        launch.bind(&data[3].pointers()).unwrap();
        graph.replay(&stream).unwrap();
        // Updates while the replays before are in flight.
        for data in &data[1..3] {
            launch.bind(&data.pointers()).unwrap();
            graph.update(&launch).unwrap();
            graph.replay(&stream).unwrap();
        }
        drop(launch);
        stream.synchronize().unwrap();
        data[..3]
            .iter()
            .for_each(|data| data.check(&stream).unwrap());
        assert!(data[3].is_untouched(&stream).unwrap());
        graph.replay(&stream).unwrap();
        drop(graph);
        stream.synchronize().unwrap();
        data[2].check(&stream).unwrap();
    });
}

#[test]
fn captured_launches_keep_their_tables() {
    with_driver("captured_launches_keep_their_tables", &[], || {
        let (stream, kernel, data) = several(3);
        let mut launch = kernel.prepare();
        launch.bind(&data[0].pointers()).unwrap();
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
        let (mut graph, mut exec) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: handles of this test, live until they are destroyed below; the launch lives longer.
        unsafe {
            sys::cuStreamBeginCapture_v2(stream.raw(), mode)
                .result()
                .unwrap();
            launch.enqueue(&stream).unwrap();
            let first = Node::captured(&stream, &launch).unwrap();
            launch.launch(&stream, &data[1].pointers()).unwrap();
            sys::cuStreamEndCapture(stream.raw(), &mut graph)
                .result()
                .unwrap();
            sys::cuGraphInstantiateWithFlags(&mut exec, graph, 0)
                .result()
                .unwrap();
            launch.bind(&data[2].pointers()).unwrap();
            first.update(exec, &launch).unwrap();
            // The launch goes on by itself, with tables that no graph refers to.
            launch.enqueue(&stream).unwrap();
            sys::cuGraphLaunch(exec, stream.raw()).result().unwrap();
            stream.synchronize().unwrap();
            sys::cuGraphExecDestroy(exec).result().unwrap();
            sys::cuGraphDestroy(graph).result().unwrap();
        }
        assert!(data[0].is_untouched(&stream).unwrap());
        data[1..]
            .iter()
            .for_each(|data| data.check(&stream).unwrap());
    });
}

/// Everything that is done with tables, once, and all of it given back. Nothing is executed in null mode.
fn everything(home: &std::path::Path, key: &str) -> Result<(), Error> {
    let library = nvfp4gen::runtime::Library::open(home)?;
    let device = Device::new(0)?;
    let kernel = library.load(&device, key)?;
    let (stream, other) = (Stream::new(&device)?, Stream::new(&device)?);
    let mut launch = kernel.prepare();
    launch.launch(&stream, &addresses(1))?;
    launch.enqueue(&other)?;
    launch.launch(&stream, &addresses(2))?;
    let mut graph = Graph::record(&launch)?;
    launch.bind(&addresses(3))?;
    graph.update(&launch)?;
    graph.replay(&stream)?;
    stream.synchronize()
}

fn addresses(round: u64) -> Vec<Pointers> {
    let at = |group: u64, operand: u64| (round << 20 | group << 4 | operand) << 8;
    (0..119)
        // SAFETY: nothing is executed in null mode.
        .map(|group| unsafe {
            Pointers::new(
                at(group, 1),
                at(group, 2),
                at(group, 3),
                at(group, 4),
                at(group, 5),
            )
        })
        .collect()
}

#[test]
fn every_driver_call_fails_once() {
    let null = [("PTXEMU_NULL", "1")];
    with_driver("every_driver_call_fails_once", &null, || {
        let set = smallest();
        let home = gpu::library(&[&set]);
        let run = || everything(home.path(), &set.key());
        run().unwrap();
        let clean = all_live();
        assert!(clean.iter().all(|(_, count)| *count == 0), "{clean:?}");
        let mut failed = BTreeSet::new();
        // Consecutive rounds in which nothing was reported.
        let mut quiet = 0;
        for nth in 1.. {
            let before = all_live();
            fail(&format!("*:{nth}:CUDA_ERROR_UNKNOWN"));
            let done = run();
            fail("");
            match done {
                Err(Error::Call(error) | Error::Jit { error, .. }) => {
                    assert_eq!(all_live(), before, "call {nth}, {error}");
                    failed.insert(error.call);
                    quiet = 0;
                }
                Err(other) => panic!("call {nth}: {other}"),
                Ok(()) if quiet > 100 => break,
                Ok(()) => quiet += 1,
            }
            run().unwrap();
        }
        for call in [
            "cuEventCreate",
            "cuEventRecord",
            "cuMemAllocHost_v2",
            "cuMemAlloc_v2",
            "cuMemcpyHtoDAsync_v2",
            "cuStreamCreate",
            "cuStreamIsCapturing",
            "cuStreamWaitEvent",
            "cuThreadExchangeStreamCaptureMode",
        ] {
            assert!(failed.contains(call), "{call} is not in {failed:?}");
        }
    });
}
