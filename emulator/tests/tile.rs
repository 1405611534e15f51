//! A hand-written NVFP4 kernel on full-range data, against plain arithmetic.

use std::path::Path;

use half::f16;
use ptx_emulator::engine::swizzle::Swizzle;
use ptx_emulator::engine::tensor_map::ElementType;
use ptx_emulator::{Device, DeviceConfig, Launch, Module, Schedule, TensorMap};

const TILE: usize = 128;
const K: usize = 256;
const E2M1: [f64; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];

/// A deterministic stream of bytes.
struct Bytes(u64);

impl Bytes {
    fn next(&mut self) -> u8 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 56) as u8
    }

    fn take(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next()).collect()
    }
}

fn e2m1(nibble: u8) -> f64 {
    let value = E2M1[usize::from(nibble & 7)];
    if nibble & 8 != 0 { -value } else { value }
}

fn ue4m3(byte: u8) -> f64 {
    let (exponent, fraction) = (i32::from(byte >> 3 & 15), f64::from(byte & 7));
    if exponent == 0 {
        fraction / 8.0 * 2f64.powi(-6)
    } else {
        (1.0 + fraction / 8.0) * 2f64.powi(exponent - 7)
    }
}

/// The value of row r at k, scale included. Scales lie in 128x4 blocks.
fn value(data: &[u8], scales: &[u8], r: usize, k: usize) -> f64 {
    let byte = data[r * K / 2 + k / 2];
    let nibble = if k.is_multiple_of(2) {
        byte & 15
    } else {
        byte >> 4
    };
    let j = k / 16;
    let at = ((r / 128) * (K / 64) + j / 4) * 512 + (r % 32) * 16 + (r % 128) / 32 * 4 + j % 4;
    e2m1(nibble) * ue4m3(scales[at])
}

fn map(address: u64, rows: usize) -> [u8; 128] {
    TensorMap {
        address,
        rank: 2,
        element: ElementType::B4x16,
        dims: [K as u64, rows as u64, 1, 1, 1],
        strides: [K as u64 / 2, 0, 0, 0],
        box_dims: [256, 128, 1, 1, 1],
        element_strides: [1; 5],
        interleave: Default::default(),
        swizzle: Swizzle::B128,
        fill: Default::default(),
        l2_promotion: Default::default(),
        im2col: None,
    }
    .encode()
}

struct Case {
    module: Module,
    tiles: [usize; 2],
    a: Vec<u8>,
    b: Vec<u8>,
    sfa: Vec<u8>,
    sfb: Vec<u8>,
}

impl Case {
    fn new(text: &str, tiles: [usize; 2]) -> Case {
        let mut bytes = Bytes(7);
        let data = |bytes: &mut Bytes, t: usize| bytes.take(t * TILE * K / 2);
        // Up to 15 in the exponent overflows f16 sums; 2^-9 .. 2 and subnormals do not.
        let scales = |bytes: &mut Bytes, t: usize| {
            bytes
                .take(t * TILE * K / 16)
                .iter()
                .map(|b| b & 0x3F)
                .collect()
        };
        Case {
            module: Module::load("tile_sm100.ptx", text).unwrap(),
            tiles,
            a: data(&mut bytes, tiles[0]),
            b: data(&mut bytes, tiles[1]),
            sfa: scales(&mut bytes, tiles[0]),
            sfb: scales(&mut bytes, tiles[1]),
        }
    }

    fn run(&self, schedule: Schedule) -> Vec<u8> {
        let mut device = Device::new(DeviceConfig::default());
        let mut put = |name: &str, bytes: &[u8]| {
            let address = device.allocate(name, bytes.len(), 0);
            device.write(address, bytes).unwrap();
            address
        };
        let (a, b, sfa, sfb) = (
            put("a", &self.a),
            put("b", &self.b),
            put("sfa", &self.sfa),
            put("sfb", &self.sfb),
        );
        let [mt, nt] = self.tiles;
        let ldd = nt * TILE;
        let d = device.allocate("d", mt * TILE * ldd * 2, 0);
        let mut params = Vec::new();
        params.extend(map(a, mt * TILE));
        params.extend(map(b, nt * TILE));
        for pointer in [sfa, sfb, d] {
            params.extend(pointer.to_le_bytes());
        }
        params.extend((ldd as u32).to_le_bytes());
        let launch = Launch {
            entry: "nvfp4_tile_128x128x256".into(),
            grid: [mt as u32, nt as u32, 1],
            block: [128, 1, 1],
            cluster: [1, 1, 1],
            dynamic_shared: 0,
            params,
            programmatic: false,
        };
        let report = device
            .launch(&self.module, &launch, schedule)
            .unwrap_or_else(|stop| panic!("{schedule:?}: {stop}"));
        assert_eq!(report.ctas, (mt * nt) as u64);
        assert_eq!(report.counts.mmas, 4 * report.ctas);
        assert_eq!(report.counts.bytes_loaded, 36864 * report.ctas);
        device.read(d, mt * TILE * ldd * 2).unwrap()
    }

    fn check(&self, d: &[u8]) {
        let ldd = self.tiles[1] * TILE;
        for m in 0..self.tiles[0] * TILE {
            for n in 0..ldd {
                let terms = (0..K)
                    .map(|k| value(&self.a, &self.sfa, m, k) * value(&self.b, &self.sfb, n, k));
                let (sum, size) =
                    terms.fold((0.0, 0.0), |(sum, size), t| (sum + t, size + t.abs()));
                let at = (m * ldd + n) * 2;
                let got = f16::from_le_bytes([d[at], d[at + 1]]).to_f64();
                // f16 rounding, and the truncations of the tensor core relative to the magnitudes summed.
                let bound = f64::abs(sum) * 2f64.powi(-11) + 2f64.powi(-25) + size * 2f64.powi(-22);
                assert!(
                    (got - sum).abs() <= bound,
                    "({m},{n}): got {got}, exact {sum}, bound {bound}"
                );
            }
        }
    }
}

#[test]
fn full_range_data_under_every_schedule() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/brief/tile_sm100.ptx");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: {} is absent", path.display());
        return;
    };
    let case = Case::new(&text, [2, 1]);
    let eager = case.run(Schedule::Eager);
    case.check(&eager);
    assert!(case.run(Schedule::Lazy) == eager, "lazy differs from eager");
    for seed in 0..10 {
        assert!(
            case.run(Schedule::Random(seed)) == eager,
            "seed {seed} differs from eager"
        );
    }
}

/// Not a check: prints how long a larger grid takes. `cargo test --release -p ptx-emulator --test tile -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn throughput() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/brief/tile_sm100.ptx");
    let Ok(text) = std::fs::read_to_string(&path) else {
        return;
    };
    let case = Case::new(&text, [24, 24]);
    for schedule in [Schedule::Eager, Schedule::Lazy, Schedule::Random(1)] {
        let start = std::time::Instant::now();
        case.run(schedule);
        let seconds = start.elapsed().as_secs_f64();
        let steps = (24 * TILE * 24 * TILE * K / 64) as f64;
        println!(
            "{schedule:?}: {seconds:.3} s, {:.1} million element steps per second",
            steps / seconds / 1e6
        );
    }
}
