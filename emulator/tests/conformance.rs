//! One small kernel per instruction family. Each store is followed by a comment with what it must store, so that the
//! kernel and its answer are read side by side; a new instruction is tested by adding two lines to a file.

use ptx_emulator::{Device, DeviceConfig, Launch, Module, Schedule};

/// Bytes of the output area of each thread.
const AREA: usize = 1024;

/// `st.global.b32 [%out+8], %r0;  //= 1 2 3`
struct Expectation {
    line: usize,
    offset: usize,
    bytes: usize,
    /// One value, or one per thread.
    values: Vec<u64>,
}

fn number(text: &str) -> u64 {
    let hex = text
        .strip_prefix("0x")
        .unwrap_or_else(|| panic!("`{text}` is not hexadecimal"));
    u64::from_str_radix(hex, 16).unwrap()
}

fn expectation(line: usize, text: &str) -> Option<Expectation> {
    let (code, values) = text.split_once("//=")?;
    let width = code.split("st.global.b").nth(1)?;
    let bytes = width.split_whitespace().next()?.parse::<usize>().unwrap() / 8;
    let offset = code
        .split("[%out+")
        .nth(1)?
        .split(']')
        .next()?
        .parse()
        .unwrap();
    Some(Expectation {
        line,
        offset,
        bytes,
        values: values.split_whitespace().map(number).collect(),
    })
}

fn check(name: &str, text: &str) {
    let expectations: Vec<_> = text
        .lines()
        .enumerate()
        .filter_map(|(i, l)| expectation(i + 1, l))
        .collect();
    assert!(!expectations.is_empty(), "{name} expects nothing");
    let block = text
        .lines()
        .find_map(|l| l.strip_prefix("// block "))
        .map_or(1, |b| b.parse().unwrap());
    let module = Module::load(name, text).unwrap_or_else(|e| panic!("{e}"));
    for schedule in [
        Schedule::Eager,
        Schedule::Lazy,
        Schedule::Random(1),
        Schedule::Random(2),
    ] {
        let mut device = Device::new(DeviceConfig::default());
        let out = device.allocate("out", AREA * block, 0);
        let launch = Launch {
            entry: "test".into(),
            grid: [1, 1, 1],
            block: [block as u32, 1, 1],
            cluster: [1, 1, 1],
            dynamic_shared: 0,
            params: out.to_le_bytes().to_vec(),
            programmatic: false,
        };
        device
            .launch(&module, &launch, schedule)
            .unwrap_or_else(|e| panic!("{name} {schedule:?}: {e}"));
        let got = device.read(out, AREA * block).unwrap();
        for e in &expectations {
            for thread in 0..block {
                let at = thread * AREA + e.offset;
                let mut word = [0; 8];
                word[..e.bytes].copy_from_slice(&got[at..at + e.bytes]);
                let (got, wanted) = (u64::from_le_bytes(word), e.values[thread % e.values.len()]);
                assert!(
                    got == wanted,
                    "{name}:{} thread {thread}: {got:#x}, expected {wanted:#x}",
                    e.line
                );
            }
        }
    }
}

macro_rules! conformance {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let file = concat!(stringify!($name), ".ptx");
            check(file, include_str!(concat!("conformance/", stringify!($name), ".ptx")));
        }
    )*};
}

conformance! {
    integer packed bits lop3 float float_x2 float_mixed convert convert_fp4 stochastic compare memory hints warp barriers matrix copy copy_mask copy_reduce call mma
    compare_packed fixed_point video wmma mma_double mma_narrow mma_sparse warpgroup_sparse atomic_wide async_store stack tensor_load_reduce matrix_bytes tensor_stationary tensor_narrow
}
