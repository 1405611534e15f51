//! Kernels with a workspace over the emulated driver: allocated with the first addresses, used again and again.

// Raw handles and addresses, as callers have them.
#![allow(unsafe_code)]

mod gpu;
mod variants;

use gpu::{Operands, with_driver};
use nvfp4gen::artifact::store;
use nvfp4gen::emit;
use nvfp4gen::plan::schedule::Order;
use nvfp4gen::plan::sm_100a::{Choices, Reduction};
use nvfp4gen::problem::Set;
use nvfp4gen::runtime::{Device, Error, Graph, Kernel, Library, Stream};
use variants::{alone, planned, uniform};

fn split(order: Order, split_k: u32, reduction: Reduction) -> Choices {
    Choices {
        order,
        split_k,
        reduction,
        ctas: 3,
        ..alone()
    }
}

fn loaded(set: &Set, choices: &Choices) -> (Device, Stream, Kernel) {
    let home = tempfile::tempdir().unwrap();
    let kernel = emit::kernel(&planned(set, choices)).unwrap();
    store::write(&home.path().join("sm_100a"), "sm_100a", &[kernel]).unwrap();
    let device = Device::new(0).unwrap();
    let stream = Stream::new(&device).unwrap();
    let library = Library::open(home.path()).unwrap();
    let kernel = library.load(&device, &set.key()).unwrap();
    (device, stream, kernel)
}

#[test]
fn split_sums_are_right_time_after_time() {
    with_driver("split_sums_are_right_time_after_time", &[], || {
        let set = uniform("again", &[40, 72], 136, 1600);
        for (choices, workspace) in [
            (split(Order::Runs, 3, Reduction::Workspace), true),
            (split(Order::Stream, 1, Reduction::Workspace), true),
            (split(Order::Runs, 2, Reduction::Cluster), false),
        ] {
            let (device, stream, kernel) = loaded(&set, &choices);
            assert_eq!(kernel.has_workspace(), workspace);
            let mut launch = kernel.prepare();
            for seed in [3, 4, 5] {
                let data = Operands::new(&device, &stream, &set, seed).unwrap();
                launch.launch(&stream, &data.pointers()).unwrap();
                stream.synchronize().unwrap();
                data.check_parts(&stream, kernel.entry().split_k).unwrap();
            }
        }
    });
}

/// A graph keeps the workspace; a clone has one of its own and must be bound first.
#[test]
fn graphs_and_clones_have_their_workspaces() {
    with_driver("graphs_and_clones_have_their_workspaces", &[], || {
        let set = uniform("graph", &[40], 136, 1600);
        let (device, stream, kernel) = loaded(&set, &split(Order::Runs, 3, Reduction::Workspace));
        let parts = kernel.entry().split_k;
        let data = Operands::new(&device, &stream, &set, 3).unwrap();
        let mut launch = kernel.prepare();
        launch.bind(&data.pointers()).unwrap();
        let mut clone = launch.clone();
        assert!(matches!(clone.enqueue(&stream), Err(Error::Unbound)));
        let graph = Graph::record(&launch).unwrap();
        drop(launch);
        for _ in 0..2 {
            graph.replay(&stream).unwrap();
            stream.synchronize().unwrap();
            data.check_parts(&stream, parts).unwrap();
        }
        let other = Operands::new(&device, &stream, &set, 4).unwrap();
        clone.launch(&stream, &other.pointers()).unwrap();
        stream.synchronize().unwrap();
        other.check_parts(&stream, parts).unwrap();
    });
}
