//! The run-time library over the emulated driver: right numbers, and nothing of one launch in another.

// Raw handles and addresses, as callers have them.
#![allow(unsafe_code)]

mod gpu;

use cudarc::driver::sys;
use gpu::{Operands, library, live, loaded, run_and_check, shipped, tiny, with_driver};
use nvfp4gen::artifact::Operand;
use nvfp4gen::runtime::{Device, Error, Graph, Image, Library, Node, Pointers, Stream};

#[test]
fn sets_give_the_right_numbers() {
    with_driver("sets_give_the_right_numbers", &[], || {
        let sets = [
            shipped("contest-tests.toml", "T1"),
            shipped("edge.toml", "empty-among-others"),
            tiny(),
        ];
        let home = library(&sets.each_ref());
        let library = Library::open(home.path()).unwrap();
        let device = Device::new(0).unwrap();
        let stream = Stream::new(&device).unwrap();
        for set in &sets {
            let kernel = library.load_set(&device, set).unwrap();
            assert_eq!((kernel.image(), kernel.replaced_maps()), (Image::Ptx, 0));
            let data = Operands::new(&device, &stream, set, 7).unwrap();
            run_and_check(&mut kernel.prepare(), &stream, &data).unwrap();
        }
    });
}

#[test]
fn a_library_is_loaded_whole_and_unloaded_whole() {
    with_driver("a_library_is_loaded_whole_and_unloaded_whole", &[], || {
        let sets = [shipped("contest-tests.toml", "T1"), tiny()];
        let home = library(&sets.each_ref());
        // The directory of a target is a library too.
        let library = Library::open(home.path().join("sm_100a")).unwrap();
        let device = Device::new(0).unwrap();
        let kernels = library.load_all(&device).unwrap();
        let keys: Vec<_> = kernels.iter().map(|kernel| kernel.key()).collect();
        assert_eq!(keys, library.keys_for(&device).collect::<Vec<_>>());
        assert_eq!((keys.len(), live("modules")), (2, 2));
        // A launch keeps its kernel, and a kernel its device.
        let launch = kernels[1].prepare();
        drop((kernels, device));
        assert_eq!((live("modules"), live("contexts")), (1, 1));
        drop(launch);
        assert_eq!((live("modules"), live("contexts")), (0, 0));
    });
}

/// The emulated driver runs streams as late as it may, so that everything is in flight at once.
#[test]
fn launches_in_flight_keep_their_own_addresses() {
    let lazy = [("PTXEMU_STREAMS", "lazy")];
    with_driver("launches_in_flight_keep_their_own_addresses", &lazy, || {
        let set = shipped("edge.toml", "n136-k192");
        let (device, stream, kernel) = loaded(&set);
        let data: Vec<_> = (0..4)
            .map(|seed| Operands::new(&device, &stream, &set, seed).unwrap())
            .collect();
        let mut first = kernel.prepare();
        let mut second = first.clone();
        first.launch(&stream, &data[0].pointers()).unwrap();
        second.launch(&stream, &data[1].pointers()).unwrap();
        // Bound again while the work that has its block is still to come.
        first.launch(&stream, &data[2].pointers()).unwrap();
        first.bind(&data[3].pointers()).unwrap();
        drop(second);
        stream.synchronize().unwrap();
        for launched in &data[..3] {
            launched.check(&stream).unwrap();
        }
        assert!(data[3].is_untouched(&stream).unwrap());
        first.enqueue(&stream).unwrap();
        data[3].check(&stream).unwrap();
    });
}

#[test]
fn every_thread_prepares_its_own_launch() {
    with_driver("every_thread_prepares_its_own_launch", &[], || {
        let set = shipped("edge.toml", "n136-k192");
        let (device, _, kernel) = loaded(&set);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (device, kernel, set) = (&device, &kernel, &set);
                scope.spawn(move || {
                    let stream = Stream::new(device).unwrap();
                    let mut launch = kernel.prepare();
                    for seed in 0..2 {
                        let data = Operands::new(device, &stream, set, 10 * thread + seed).unwrap();
                        run_and_check(&mut launch, &stream, &data).unwrap();
                    }
                });
            }
        });
    });
}

/// Everything of all threads is in flight before anything is waited for.
#[test]
fn threads_keep_one_kernel_in_flight_with_addresses_of_their_own() {
    let lazy = [("PTXEMU_STREAMS", "lazy")];
    let name = "threads_keep_one_kernel_in_flight_with_addresses_of_their_own";
    with_driver(name, &lazy, || {
        let set = tiny();
        let (device, stream, kernel) = loaded(&set);
        let data: Vec<Vec<_>> = (0..4)
            .map(|thread| {
                (0..3)
                    .map(|round| {
                        Operands::new(&device, &stream, &set, 10 * thread + round).unwrap()
                    })
                    .collect()
            })
            .collect();
        let launched = std::sync::Barrier::new(data.len());
        std::thread::scope(|scope| {
            for data in &data {
                let (device, kernel, launched) = (&device, &kernel, &launched);
                scope.spawn(move || {
                    let own = Stream::new(device).unwrap();
                    let mut launch = kernel.prepare();
                    for data in data {
                        launch.launch(&own, &data.pointers()).unwrap();
                    }
                    launched.wait();
                    own.synchronize().unwrap();
                });
            }
        });
        for data in data.iter().flatten() {
            data.check(&stream).unwrap();
        }
    });
}

#[test]
fn a_launch_may_move_to_a_thread_without_context_and_into_foreign_streams() {
    let name = "a_launch_may_move_to_a_thread_without_context_and_into_foreign_streams";
    with_driver(name, &[], || {
        let set = tiny();
        let (device, _, kernel) = loaded(&set);
        // SAFETY: the default stream is always live.
        let default = unsafe { Stream::from_raw(std::ptr::null_mut()) };
        let data = Operands::new(&device, &default, &set, 1).unwrap();
        let mut launch = kernel.prepare();
        launch.bind(&data.pointers()).unwrap();
        std::thread::scope(|scope| {
            let (launch, default) = (&launch, &default);
            scope.spawn(move || {
                launch.enqueue(default).unwrap();
                let mut current = std::ptr::null_mut();
                // SAFETY: writes one handle.
                unsafe { sys::cuCtxGetCurrent(&mut current) }
                    .result()
                    .unwrap();
                assert!(
                    current.is_null(),
                    "the thread has the context that it came with"
                );
            });
        });
        default.synchronize().unwrap();
        data.check(&default).unwrap();
    });
}

#[test]
fn graphs_replay_and_take_new_addresses() {
    with_driver("graphs_replay_and_take_new_addresses", &[], || {
        let set = shipped("edge.toml", "n136-k192");
        let (device, stream, kernel) = loaded(&set);
        let [one, two] = [1, 2].map(|seed| Operands::new(&device, &stream, &set, seed).unwrap());
        let mut launch = kernel.prepare();
        assert!(matches!(Graph::record(&launch), Err(Error::Unbound)));
        launch.bind(&one.pointers()).unwrap();
        let mut graph = Graph::record(&launch).unwrap();
        assert!(
            one.is_untouched(&stream).unwrap(),
            "recording launches nothing"
        );
        // The graph has a copy: what the launch is bound to later does not concern it.
        launch.bind(&two.pointers()).unwrap();
        graph.replay(&stream).unwrap();
        one.check(&stream).unwrap();
        assert!(two.is_untouched(&stream).unwrap());
        graph.update(&launch).unwrap();
        graph.replay(&stream).unwrap();
        two.check(&stream).unwrap();

        let (_, _, other) = loaded(&tiny());
        assert!(matches!(
            graph.update(&other.prepare()),
            Err(Error::OtherKernel { .. })
        ));
        drop((graph, launch, kernel, other));
        assert_eq!(
            (live("graphs"), live("graph_execs"), live("modules")),
            (0, 0, 0)
        );
    });
}

#[test]
fn launches_can_be_captured_by_the_caller() {
    with_driver("launches_can_be_captured_by_the_caller", &[], || {
        let set = shipped("edge.toml", "n136-k192");
        let (device, stream, kernel) = loaded(&set);
        let data: Vec<_> = (0..3)
            .map(|seed| Operands::new(&device, &stream, &set, seed).unwrap())
            .collect();
        let mut launch = kernel.prepare();
        launch.bind(&data[0].pointers()).unwrap();
        let idle = Node::captured(&stream, &launch);
        assert!(matches!(idle, Err(Error::Capture(_))));

        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
        let (mut graph, mut exec) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: handles of this test, live until they are destroyed below.
        unsafe {
            sys::cuStreamBeginCapture_v2(stream.raw(), mode)
                .result()
                .unwrap();
            launch.enqueue(&stream).unwrap();
            let first = Node::captured(&stream, &launch).unwrap();
            launch.launch(&stream, &data[1].pointers()).unwrap();
            let second = Node::captured(&stream, &launch).unwrap();
            assert_ne!(first.raw(), second.raw());
            sys::cuStreamEndCapture(stream.raw(), &mut graph)
                .result()
                .unwrap();
            sys::cuGraphInstantiateWithFlags(&mut exec, graph, 0)
                .result()
                .unwrap();
            // The first of the two goes elsewhere.
            launch.bind(&data[2].pointers()).unwrap();
            first.update(exec, &launch).unwrap();
            sys::cuGraphLaunch(exec, stream.raw()).result().unwrap();
            stream.synchronize().unwrap();
            sys::cuGraphExecDestroy(exec).result().unwrap();
            sys::cuGraphDestroy(graph).result().unwrap();
        }
        assert!(data[0].is_untouched(&stream).unwrap());
        data[1].check(&stream).unwrap();
        data[2].check(&stream).unwrap();
    });
}

#[test]
fn a_set_without_tokens_launches_nothing() {
    with_driver("a_set_without_tokens_launches_nothing", &[], || {
        let set = shipped("edge.toml", "all-empty");
        let (_, stream, kernel) = loaded(&set);
        // SAFETY: groups without tokens may have any addresses.
        let nowhere = unsafe { Pointers::new(0, 0, 0, 0, 0) };
        let nowhere = vec![nowhere; set.groups.len()];
        let mut launch = kernel.prepare();
        launch.launch(&stream, &nowhere).unwrap();
        let mut graph = Graph::record(&launch).unwrap();
        graph.update(&launch).unwrap();
        graph.replay(&stream).unwrap();
        stream.synchronize().unwrap();
    });
}

#[test]
fn bad_addresses_are_named_and_never_launched() {
    with_driver("bad_addresses_are_named_and_never_launched", &[], || {
        let set = shipped("edge.toml", "empty-among-others");
        let (device, stream, kernel) = loaded(&set);
        let data = Operands::new(&device, &stream, &set, 3).unwrap();
        let good = data.pointers();
        let mut launch = kernel.prepare();
        assert!(matches!(launch.enqueue(&stream), Err(Error::Unbound)));
        launch.bind(&good).unwrap();

        // SAFETY: never launched.
        let with = |group: usize, operand: usize, address| unsafe {
            let mut table: Vec<_> = good.iter().map(|group| group.addresses()).collect();
            table[group][operand] = address;
            Pointers::from_table(&table).to_vec()
        };
        let operands = [
            Operand::A,
            Operand::B,
            Operand::Sfa,
            Operand::Sfb,
            Operand::C,
        ];
        for (index, named) in operands.into_iter().enumerate() {
            for group in [1, 4] {
                let null = launch.bind(&with(group, index, 0)).unwrap_err();
                let found = matches!(null, Error::Null { group: g, operand } if g == group as u32 && operand == named);
                assert!(found, "{null}");
                let odd = launch.bind(&with(group, index, 0x1008)).unwrap_err();
                let found = matches!(odd, Error::Misaligned { group: g, operand, address: 0x1008 }
                    if g == group as u32 && operand == named);
                assert!(found, "{odd}");
            }
            // Empty groups may have anything.
            launch.bind(&with(0, index, 0)).unwrap();
            launch.bind(&with(3, index, 0x1001)).unwrap();
        }
        let same = launch
            .bind(&with(4, 4, good[1].addresses()[4]))
            .unwrap_err();
        assert!(
            matches!(same, Error::SameOutput { groups: (1, 4), .. }),
            "{same}"
        );
        let few = launch.bind(&good[1..]).unwrap_err();
        assert!(
            matches!(
                few,
                Error::Groups {
                    expected: 6,
                    given: 5
                }
            ),
            "{few}"
        );
        assert!(matches!(launch.enqueue(&stream), Err(Error::Unbound)));
        assert!(data.is_untouched(&stream).unwrap());
        run_and_check(&mut launch, &stream, &data).unwrap();
    });
}

#[test]
fn early_starts_are_for_kernels_that_wait() {
    with_driver("early_starts_are_for_kernels_that_wait", &[], || {
        let set = tiny();
        let (device, stream, kernel) = loaded(&set);
        let mut launch = kernel.prepare();
        let refused = launch.set_programmatic(true);
        assert_eq!(refused.is_ok(), kernel.is_programmatic());
        launch.set_programmatic(false).unwrap();
        let data = Operands::new(&device, &stream, &set, 5).unwrap();
        run_and_check(&mut launch, &stream, &data).unwrap();
    });
}
