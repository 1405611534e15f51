//! The run-time library's dealings with a driver, by a kernel that any GPU since Hopper takes: over the emulated driver
//! always, and over NVIDIA's where there is one (`cargo test --test runtime_device -- --ignored --nocapture`), which also
//! prints times.

// Raw handles and addresses, as callers have them.
#![allow(unsafe_code)]

mod gpu;

use std::time::Instant;

use cudarc::driver::sys;
use gpu::with_driver;
use nvfp4gen::artifact::{
    Kernel as Text, KernelEntry, LaunchShape, Location, Operand, ParameterBlock, PointerSlot,
    ScheduleFacts, Sizes, TensorMapSlot, store,
};
use nvfp4gen::runtime::{
    Buffer, Device, Error, Event, Graph, Kernel, Library, Node, Pointers, Stream,
};
use tempfile::TempDir;

const GROUPS: u32 = 2;
/// Bytes of every operand that the kernel reads, and of C that it writes.
const BYTES: usize = 1024;

/// `mix.ptx` and what a manifest says of it.
fn mix(key: &str, ptx: &str) -> Text {
    let map = |group: u32, index: u32, operand| TensorMapSlot {
        offset: 256 * group + 128 * index,
        group,
        operand,
        element: "u8".into(),
        dims: vec![128, 64],
        strides: vec![128],
        tile: vec![128, 8],
        swizzle: 0,
        l2_promotion: 256,
    };
    let pointer = |group: u32, index: u32, operand| PointerSlot {
        offset: 256 * GROUPS + 24 * group + 8 * index,
        group,
        operand,
    };
    let groups = 0..GROUPS;
    let maps = |g| [map(g, 0, Operand::B), map(g, 1, Operand::A)];
    let pointers = |g| {
        let slot = |i, operand| pointer(g, i, operand);
        [
            slot(0, Operand::Sfb),
            slot(1, Operand::Sfa),
            slot(2, Operand::C),
        ]
    };
    let entry = KernelEntry {
        key: key.into(),
        name: key.into(),
        file: format!("{key}.ptx"),
        sha256: String::new(),
        function: "mix".into(),
        ptx_version: "8.0".into(),
        tiles: GROUPS,
        stages: 1,
        split_k: 1,
        tensor_memory_columns: 0,
        sizes: Sizes {
            m: vec![64; 2],
            n: vec![64; 2],
            k: vec![256; 2],
            output: "f16".into(),
            weights: "dynamic".into(),
        },
        launch: LaunchShape {
            grid: [GROUPS, 1, 1],
            block: [256, 1, 1],
            cluster: [1, 1, 1],
            // More than a CTA gets without asking.
            dynamic_shared: 64 << 10,
        },
        schedule: ScheduleFacts::default(),
        parameters: ParameterBlock {
            location: Location::Parameter,
            bytes: 560,
            alignment: 128,
            workspace_bytes: 0,
            workspace_offset: 0,
            tensor_maps: groups.clone().flat_map(maps).collect(),
            pointers: groups.flat_map(pointers).collect(),
        },
    };
    Text::new(entry, ptx.to_owned())
}

fn library() -> TempDir {
    let good = include_str!("gpu/mix.ptx");
    let home = tempfile::tempdir().unwrap();
    let mut larger = mix("larger", good);
    larger.entry.parameters.bytes += 8;
    let mut early = mix("early", good);
    early.entry.ptx_version = "9.9".into();
    let kernels = [
        mix("mix", good),
        mix("clustered", good),
        mix("misspelt", &good.replace("xor.b32", "xorr.b32")),
        mix("other-function", &good.replace("entry mix", "entry mixer")),
        mix("early", &good.replace(".version 8.0", ".version 9.9")),
        larger,
    ];
    let mut kernels = kernels.to_vec();
    kernels[1].entry.launch.cluster = [2, 1, 1];
    kernels[4].entry = Text::new(early.entry, kernels[4].ptx.clone()).entry;
    store::write(&home.path().join("sm_90"), "sm_90", &kernels).unwrap();
    let blackwell = gpu::compile(&gpu::tiny_without_files(), nvfp4gen::plan::target::SM_100A);
    store::write(&home.path().join("sm_100a"), "sm_100a", &[blackwell]).unwrap();
    home
}

/// Operands of both groups, all bytes drawn.
struct Data {
    host: Vec<[Vec<u8>; 4]>,
    device: Vec<[Buffer; 5]>,
}

impl Data {
    fn new(device: &Device, stream: &Stream, seed: u64) -> Self {
        let mut state = seed.wrapping_mul(2) + 1;
        let mut draw = |bytes: usize| -> Vec<u8> {
            let mut next = || {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 56) as u8
            };
            (0..bytes).map(|_| next()).collect()
        };
        let mut data = Data {
            host: Vec::new(),
            device: Vec::new(),
        };
        for _ in 0..GROUPS {
            let host = [draw(8192), draw(8192), draw(2048), draw(2048)];
            let copy = |bytes: &Vec<u8>| Buffer::from_bytes(device, stream, bytes).unwrap();
            let [a, b, sfa, sfb] = host.each_ref().map(copy);
            let c = Buffer::new(device, 8192).unwrap();
            c.fill(stream, 0xEE).unwrap();
            data.host.push(host);
            data.device.push([a, b, sfa, sfb, c]);
        }
        stream.synchronize().unwrap();
        data
    }

    fn pointers(&self) -> Vec<Pointers> {
        let group = |buffers: &[Buffer; 5]| {
            let [a, b, sfa, sfb, c] = buffers.each_ref().map(Buffer::address);
            // SAFETY: larger than what the kernel reads and writes, and kept until the work is done.
            unsafe { Pointers::new(a, b, sfa, sfb, c) }
        };
        self.device.iter().map(group).collect()
    }

    fn outputs(&self, stream: &Stream) -> Vec<Vec<u8>> {
        let read = |buffers: &[Buffer; 5]| {
            let mut bytes = vec![0; 8192];
            buffers[4].read(stream, &mut bytes).unwrap();
            bytes
        };
        self.device.iter().map(read).collect()
    }

    fn check(&self, stream: &Stream) {
        for (host, got) in self.host.iter().zip(self.outputs(stream)) {
            let expected = |i: usize| host.iter().fold(0, |x, operand| x ^ operand[i]);
            assert!((0..BYTES).all(|i| got[i] == expected(i)));
            assert!(got[BYTES..].iter().all(|byte| *byte == 0xEE));
        }
    }

    fn is_untouched(&self, stream: &Stream) -> bool {
        let outputs = self.outputs(stream);
        outputs.iter().flatten().all(|byte| *byte == 0xEE)
    }
}

fn everything() {
    let home = library();
    let library = Library::open(home.path()).unwrap();
    let device = Device::new(0).unwrap();
    println!("{:?}", device.properties());
    for key in ["mix", "clustered"] {
        let kernel = library.load(&device, key).unwrap();
        println!(
            "{kernel:?}: {} maps need the driver to bind",
            kernel.replaced_maps()
        );
        assert_eq!(kernel.replaced_maps(), 0);
        in_flight(&device, &kernel);
        graphs(&device, &kernel);
        without_context(&device, &kernel);
    }
    refusals(&library, &device);
}

fn in_flight(device: &Device, kernel: &Kernel) {
    let stream = Stream::new(device).unwrap();
    let data: Vec<_> = (0..64)
        .map(|seed| Data::new(device, &stream, seed))
        .collect();
    let mut launch = kernel.prepare();
    for (index, data) in data[..63].iter().enumerate() {
        launch.set_programmatic(index % 2 == 1).unwrap();
        launch.launch(&stream, &data.pointers()).unwrap();
    }
    launch.bind(&data[63].pointers()).unwrap();
    stream.synchronize().unwrap();
    data[..63].iter().for_each(|data| data.check(&stream));
    assert!(data[63].is_untouched(&stream));
}

fn graphs(device: &Device, kernel: &Kernel) {
    let stream = Stream::new(device).unwrap();
    let data: Vec<_> = (0..6)
        .map(|seed| Data::new(device, &stream, seed))
        .collect();
    let mut launch = kernel.prepare();
    launch.set_programmatic(true).unwrap();
    launch.bind(&data[0].pointers()).unwrap();
    let mut graph = Graph::record(&launch).unwrap();
    graph.replay(&stream).unwrap();
    // Updated while the replay before may still run.
    launch.bind(&data[1].pointers()).unwrap();
    graph.update(&launch).unwrap();
    graph.replay(&stream).unwrap();
    stream.synchronize().unwrap();
    data[0].check(&stream);
    data[1].check(&stream);

    let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
    let (mut raw, mut exec) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: handles of this test, live until they are destroyed below.
    unsafe {
        sys::cuStreamBeginCapture_v2(stream.raw(), mode)
            .result()
            .unwrap();
        launch.launch(&stream, &data[2].pointers()).unwrap();
        let first = Node::captured(&stream, &launch).unwrap();
        launch.launch(&stream, &data[3].pointers()).unwrap();
        let second = Node::captured(&stream, &launch).unwrap();
        assert_ne!(first.raw(), second.raw());
        sys::cuStreamEndCapture(stream.raw(), &mut raw)
            .result()
            .unwrap();
        sys::cuGraphInstantiateWithFlags(&mut exec, raw, 0)
            .result()
            .unwrap();
        launch.bind(&data[4].pointers()).unwrap();
        first.update(exec, &launch).unwrap();
        sys::cuGraphLaunch(exec, stream.raw()).result().unwrap();
        stream.synchronize().unwrap();
        sys::cuGraphExecDestroy(exec).result().unwrap();
        sys::cuGraphDestroy(raw).result().unwrap();
    }
    data[3].check(&stream);
    data[4].check(&stream);
    assert!(data[2].is_untouched(&stream));
}

fn without_context(device: &Device, kernel: &Kernel) {
    let stream = Stream::new(device).unwrap();
    let data = Data::new(device, &stream, 77);
    let mut launch = kernel.prepare();
    launch.bind(&data.pointers()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| launch.enqueue(&stream).unwrap());
    });
    stream.synchronize().unwrap();
    data.check(&stream);
}

fn refusals(library: &Library, device: &Device) {
    let refused = |key: &str| {
        let error = library.load(device, key).unwrap_err();
        println!("--- {key}\n{error}");
        error
    };
    assert!(matches!(refused("misspelt"), Error::Jit { log, .. } if log.contains("xorr")));
    assert!(matches!(
        refused("other-function"),
        Error::Inconsistent { .. }
    ));
    assert!(matches!(refused("larger"), Error::Inconsistent { .. }));
    assert!(matches!(
        refused("early"),
        Error::Jit { .. } | Error::PtxVersion { .. }
    ));
    assert!(matches!(
        refused("g1_m1_n8_k64_f16_dynamic"),
        Error::Architecture { .. }
    ));
    assert!(matches!(
        refused("g2_m64_n64_k256_f16_dynamic"),
        Error::Missing(_)
    ));
    // Nothing of it concerns what is loaded next.
    library.load(device, "mix").unwrap();
}

#[test]
fn over_the_emulated_driver() {
    let hopper = [("PTXEMU_CAPABILITY", "9.0")];
    with_driver("over_the_emulated_driver", &hopper, everything);
}

#[test]
#[ignore = "needs a GPU"]
fn over_a_real_driver() {
    everything();
    times();
}

/// The mean of 10,000 calls, in nanoseconds.
fn mean(what: &str, mut call: impl FnMut()) {
    const CALLS: u32 = 10_000;
    (0..100).for_each(|_| call());
    let start = Instant::now();
    (0..CALLS).for_each(|_| call());
    println!("{what}: {:?}", start.elapsed() / CALLS);
}

fn times() {
    let home = library();
    let library = Library::open(home.path()).unwrap();
    let device = Device::new(0).unwrap();
    let start = Instant::now();
    let kernel = library.load(&device, "mix").unwrap();
    println!("load: {:?}", start.elapsed());
    let stream = Stream::new(&device).unwrap();
    let tables = [1, 2].map(|seed| {
        let data = Data::new(&device, &stream, seed);
        (data.pointers(), data)
    });
    let mut launch = kernel.prepare();
    let mut turn = 0;
    mean("bind", || {
        turn ^= 1;
        launch.bind(&tables[turn].0).unwrap();
    });
    mean("enqueue", || launch.enqueue(&stream).unwrap());
    launch.set_programmatic(true).unwrap();
    mean("enqueue, programmatic", || launch.enqueue(&stream).unwrap());
    let mut graph = Graph::record(&launch).unwrap();
    mean("graph replay", || graph.replay(&stream).unwrap());
    mean("graph update", || graph.update(&launch).unwrap());
    stream.synchronize().unwrap();
    for programmatic in [false, true] {
        launch.set_programmatic(programmatic).unwrap();
        let (begin, end) = (Event::new(&device).unwrap(), Event::new(&device).unwrap());
        begin.record(&stream).unwrap();
        (0..1000).for_each(|_| launch.enqueue(&stream).unwrap());
        end.record(&stream).unwrap();
        let each = end.microseconds_since(&begin).unwrap() / 1000.0;
        println!("GPU per launch, back to back, programmatic {programmatic}: {each:.3} us");
    }
}
