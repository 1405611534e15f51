//! Text that is nearly PTX must give an error, a fault or a result, and never a panic.

use ptx_emulator::{Device, DeviceConfig, Launch, Module, Schedule};

const KERNELS: [(&str, &str); 14] = [
    ("integer", include_str!("conformance/integer.ptx")),
    ("bits", include_str!("conformance/bits.ptx")),
    ("float", include_str!("conformance/float.ptx")),
    ("convert", include_str!("conformance/convert.ptx")),
    ("convert_fp4", include_str!("conformance/convert_fp4.ptx")),
    ("compare", include_str!("conformance/compare.ptx")),
    ("memory", include_str!("conformance/memory.ptx")),
    ("warp", include_str!("conformance/warp.ptx")),
    ("barriers", include_str!("conformance/barriers.ptx")),
    ("matrix", include_str!("conformance/matrix.ptx")),
    ("copy", include_str!("conformance/copy.ptx")),
    ("leak", include_str!("fail/tensor_memory_leaked.ptx")),
    (
        "mma",
        include_str!("fail/instruction_descriptor_illegal.ptx"),
    ),
    ("cluster", include_str!("fail/shared_of_another_cta.ptx")),
];

/// A small generator of numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        ((self.0 >> 33) % n as u64) as usize
    }
}

/// Pieces of text that stay whole.
fn pieces(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_ascii_alphanumeric() || "_%$.:".contains(c);
        let len = if word(first) {
            rest.find(|c| !word(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (piece, tail) = rest.split_at(len);
        out.push(piece);
        rest = tail;
    }
    out
}

fn mangle(text: &str, numbers: &mut Numbers) -> String {
    let mut pieces = pieces(text);
    for _ in 0..1 + numbers.below(3) {
        let (at, other) = (numbers.below(pieces.len()), numbers.below(pieces.len()));
        match numbers.below(4) {
            0 => {
                pieces.remove(at);
            }
            1 => pieces.insert(at, pieces[other]),
            2 => pieces.swap(at, other),
            _ => {
                pieces[at] = [
                    "0",
                    "-1",
                    "4294967295",
                    "%r0",
                    "%rd1",
                    "%p0",
                    "%h0",
                    "_",
                    "{",
                    "[",
                    "x",
                ][numbers.below(11)]
            }
        }
    }
    pieces.concat()
}

#[test]
fn nothing_panics() {
    let mut numbers = Numbers(1);
    let (mut loaded, mut completed) = (0, 0);
    for round in 0..4000 {
        let (name, text) = KERNELS[round % KERNELS.len()];
        let Ok(module) = Module::load(name, &mangle(text, &mut numbers)) else {
            continue;
        };
        loaded += 1;
        let mut device = Device::new(DeviceConfig {
            instruction_limit: 20_000,
            ..DeviceConfig::default()
        });
        let out = device.allocate("out", 32 * 1024, 0);
        let Some(entry) = module.entries().next().map(String::from) else {
            continue;
        };
        let mut params = out.to_le_bytes().to_vec();
        params.resize(
            module
                .params(&entry)
                .and_then(|p| p.last())
                .map_or(0, |p| (p.offset + p.bytes) as usize),
            0,
        );
        let launch = Launch {
            entry,
            grid: [2, 1, 1],
            block: [32, 1, 1],
            cluster: [2, 1, 1],
            dynamic_shared: 0,
            params,
            programmatic: false,
        };
        completed += u32::from(
            device
                .launch(&module, &launch, Schedule::Random(round as u64))
                .is_ok(),
        );
    }
    assert!(
        loaded > 400 && completed > 100,
        "{loaded} loaded, {completed} completed: too few to mean anything"
    );
}
