//! Whole operations through descriptors and tensor memory.

use super::super::descriptor::SharedMatrix;
use super::super::tensor_memory::{CopyShape, TensorMemoryError, accumulator_cell};
use super::*;

const A: usize = 0;
const B: usize = 16384;
const SCALES: usize = 32768;
const WINDOW: usize = 40960;
const SWIZZLED: u64 = 0x4000_4040_0000_0000;
const UNSWIZZLED_SCALES: u64 = 0x0000_4008_0000_0000;

fn descriptor(high: u64, start: usize) -> u64 {
    high | (start as u64) >> 4
}

/// Row r, byte c of a 128-byte wide tile in the 128-byte swizzle.
fn put(shared: &mut [u8], base: usize, row: usize, column: usize, byte: u8) {
    shared[base + row * 128 + (column ^ (row % 8) << 4)] = byte;
}

fn code(row: usize, k: usize) -> u8 {
    ((row * 1009 + k * 7919 + 1) as u32)
        .wrapping_mul(0x9E37_79B1)
        .to_be_bytes()[0]
        >> 4
}

fn value(code: u8) -> f64 {
    f64::from(scalar::e2m1_doubled(code)) / 2.0
}

/// Scales are powers of two from 2^-2 to 2^3, so that every sum is exact.
fn scale(row: usize, group: usize) -> (u8, f64) {
    let exponent = ((row + group) % 6) as i32 - 2;
    (((exponent + 7) << 3) as u8, 2f64.powi(exponent))
}

/// Shared memory of one CTA with K = 256 of `rows` rows of A from `first_a` and of B from `first_b`, and 128 + 128 scales.
fn shared_memory(first_a: usize, rows_b: usize, first_b: usize, first_sfb: usize) -> Vec<u8> {
    let mut shared = vec![0; WINDOW];
    for (base, rows, first) in [(A, 128, first_a), (B, rows_b, first_b + 1000)] {
        for row in 0..rows {
            for byte in 0..128 {
                let packed = code(row + first, 2 * byte) | code(row + first, 2 * byte + 1) << 4;
                put(&mut shared, base, row, byte, packed);
            }
        }
    }
    for (block, first) in [(0, first_a), (1, first_sfb + 1000)] {
        for row in 0..128 {
            for group in 0..16 {
                let at = SCALES
                    + block * 2048
                    + group / 4 * 512
                    + row % 32 * 16
                    + row / 32 * 4
                    + group % 4;
                shared[at] = scale(row + first, group).0;
            }
        }
    }
    shared
}

fn expected(m: usize, n: usize) -> f64 {
    let product = |k: usize| {
        let scales = scale(m, k / 16).1 * scale(n + 1000, k / 16).1;
        value(code(m, k)) * value(code(n + 1000, k)) * scales
    };
    (0..256).map(product).sum()
}

fn tensor(shared: &[u8]) -> TensorMemory {
    let mut tensor = TensorMemory::new();
    assert_eq!(tensor.allocate(512), Ok(Some(0)));
    for block in 0..8 {
        let start = SCALES + block * 512;
        let matrix = SharedMatrix::decode_sm100(descriptor(UNSWIZZLED_SCALES, start)).unwrap();
        tensor
            .copy(
                CopyShape::S32x128bWarpx4,
                256 + 4 * block as u32,
                shared,
                &matrix,
                false,
            )
            .unwrap();
    }
    tensor
}

fn step(group: CtaGroup, instruction: u32, k: usize) -> Mma {
    Mma {
        kind: Kind::Mxf4nvf4,
        group,
        d: 0,
        a: AOperand::Shared(descriptor(SWIZZLED, A + 32 * k)),
        b: descriptor(SWIZZLED, B + 32 * k),
        instruction,
        scales: Some(ScaleOperands {
            vector: ScaleVector::X4,
            a: 256 + 4 * k as u32,
            b: 2 << 30 | (272 + 4 * k as u32),
        }),
        accumulate: k > 0,
        stationary: None,
        disabled_lanes: [0; 8],
        scale_input_d: 0,
    }
}

/// The data path of check_layouts.py: four K = 64 steps of a 128 x 128 tile.
#[test]
fn an_nvfp4_tile() {
    let shared = shared_memory(0, 128, 0, 0);
    let mut tensor = tensor(&shared);
    for k in 0..4 {
        let mut ctas = [Cta {
            shared: &shared,
            tensor: &mut tensor,
        }];
        step(CtaGroup::One, 0x0820_0480, k)
            .execute(&mut ctas)
            .unwrap();
    }
    for m in 0..128 {
        for n in 0..128 {
            let got = f32::from_bits(tensor.cell(m, n).unwrap());
            assert_eq!(f64::from(got), expected(m, n), "({m}, {n})");
        }
    }
}

#[test]
fn negation_flips_the_sign() {
    let shared = shared_memory(0, 128, 0, 0);
    let (mut plain, mut negated) = (tensor(&shared), tensor(&shared));
    step(CtaGroup::One, 0x0820_0480, 0)
        .execute(&mut [Cta {
            shared: &shared,
            tensor: &mut plain,
        }])
        .unwrap();
    let bits = 0x0820_0480 | 1 << 14;
    step(CtaGroup::One, bits, 0)
        .execute(&mut [Cta {
            shared: &shared,
            tensor: &mut negated,
        }])
        .unwrap();
    for (m, n) in [(0, 1), (5, 70), (127, 127)] {
        let value = |t: &TensorMemory| f32::from_bits(t.cell(m, n).unwrap());
        assert_eq!(value(&plain), -value(&negated));
        assert_ne!(value(&plain), 0.0);
    }
}

/// M = 256 and N = 128 on a pair: each CTA has its own rows of A and half of B, and scales of all of B.
#[test]
fn an_nvfp4_tile_on_a_pair() {
    let shared = [shared_memory(0, 64, 0, 0), shared_memory(128, 64, 64, 0)];
    let mut tensors = shared.each_ref().map(|s| tensor(s));
    let instruction = 0x480 | 16 << 17 | 2 << 27;
    for k in 0..4 {
        let [even, odd] = &mut tensors;
        let mut ctas = [
            Cta {
                shared: &shared[0],
                tensor: even,
            },
            Cta {
                shared: &shared[1],
                tensor: odd,
            },
        ];
        step(CtaGroup::Two, instruction, k)
            .execute(&mut ctas)
            .unwrap();
    }
    for m in 0..256 {
        for n in 0..128 {
            let (cta, lane, column) = accumulator_cell(CtaGroup::Two, 256, 128, m, n);
            let got = f32::from_bits(tensors[cta].cell(lane, column).unwrap());
            assert_eq!(f64::from(got), expected(m, n), "({m}, {n})");
        }
    }
}

/// Scales of B for a pair with M = 128: those of columns 0 to 63 of D go to lanes 0 to 63, the others to 64 to 127, by
/// a copy that doubles each of two groups of 32 rows.
fn put_halved_scales(tensor: &mut TensorMemory, k: usize, column: u32) {
    let mut shared = vec![0; 1024];
    for (row, words) in shared.chunks_exact_mut(16).enumerate() {
        for (at, byte) in words[..8].iter_mut().enumerate() {
            let n = row / 32 * 64 + at / 4 * 32 + row % 32;
            *byte = scale(n + 1000, 4 * k + at % 4).0;
        }
    }
    let matrix = SharedMatrix::decode_sm100(descriptor(UNSWIZZLED_SCALES, 0)).unwrap();
    tensor
        .copy(
            CopyShape::S64x128bWarpx2_01_23,
            column,
            &shared,
            &matrix,
            false,
        )
        .unwrap();
}

#[test]
fn an_nvfp4_tile_on_a_half_height_pair() {
    let shared = [shared_memory(0, 64, 0, 0), shared_memory(64, 64, 64, 0)];
    let mut tensors = shared.each_ref().map(|s| tensor(s));
    let instruction = 0x480 | 16 << 17 | 1 << 27;
    for k in 0..4 {
        let mma = step(CtaGroup::Two, instruction, k);
        let column = mma.scales.unwrap().b & 0xFFFF;
        tensors
            .iter_mut()
            .for_each(|t| put_halved_scales(t, k, column));
        let [even, odd] = &mut tensors;
        let mut ctas = [
            Cta {
                shared: &shared[0],
                tensor: even,
            },
            Cta {
                shared: &shared[1],
                tensor: odd,
            },
        ];
        mma.execute(&mut ctas).unwrap();
    }
    for m in 0..128 {
        for n in 0..128 {
            let (cta, lane, column) = accumulator_cell(CtaGroup::Two, 128, 128, m, n);
            let got = f32::from_bits(tensors[cta].cell(lane, column).unwrap());
            assert_eq!(f64::from(got), expected(m, n), "({m}, {n})");
        }
    }
}

#[test]
fn what_the_unit_refuses() {
    let shared = shared_memory(0, 128, 0, 0);
    let refused = |change: &dyn Fn(&mut Mma, &mut TensorMemory)| {
        let (mut mma, mut tensor) = (step(CtaGroup::One, 0x0820_0480, 0), tensor(&shared));
        change(&mut mma, &mut tensor);
        let before = tensor.clone();
        let error = mma
            .execute(&mut [Cta {
                shared: &shared,
                tensor: &mut tensor,
            }])
            .unwrap_err();
        assert_eq!(before.cell(0, 0), tensor.cell(0, 0));
        error
    };
    let pair = MmaError::CtaCount {
        given: 1,
        group: CtaGroup::Two,
    };
    assert_eq!(
        refused(&|m, _| (m.group, m.instruction) = (CtaGroup::Two, 0x480 | 16 << 17 | 2 << 27)),
        pair.into()
    );
    assert_eq!(
        refused(&|m, _| m.d = 32 << 16),
        MmaError::AccumulatorLane(32).into()
    );
    let beyond = TensorMemoryError::ColumnNotAllocated {
        column: 512,
        first: 448,
        count: 128,
    };
    assert_eq!(refused(&|m, _| m.d = 448), beyond.into());
    let input = MmaError::ScaleInputD {
        kind: Kind::Mxf4nvf4,
        value: 1,
    };
    assert_eq!(refused(&|m, _| m.scale_input_d = 1), input.into());
    assert_eq!(
        refused(&|m, _| m.disabled_lanes[0] = 1),
        MmaError::DisabledLanes(Kind::Mxf4nvf4).into()
    );
    assert!(matches!(
        refused(&|m, _| m.b |= 3 << 61),
        Error::Descriptor(_)
    ));
    assert!(matches!(
        refused(&|m, _| m.b = descriptor(SWIZZLED, 0x3A000)),
        Error::Operand(_)
    ));
    let differ = refused(&|_, t| t.row_mut(64, 257)[0] ^= 1);
    assert!(matches!(
        differ,
        Error::TensorMemory(TensorMemoryError::ScaleCopiesDiffer { row: 32, .. })
    ));
}

/// bf16 with M = 64 or 128, A from shared or tensor memory, lanes masked, D scaled.
#[test]
fn a_bf16_tile() {
    let bf16 = |value: f32| half::bf16::from_f32(value).to_bits();
    let element = |row: usize, k: usize| ((row * 3 + k * 5) % 17) as f32 - 8.0;
    let mut shared = vec![0; WINDOW];
    for (base, seed) in [(A, 0), (B, 40)] {
        for row in 0..128 {
            for k in 0..16 {
                let [low, high] = bf16(element(row + seed, k)).to_le_bytes();
                put(&mut shared, base, row, 2 * k, low);
                put(&mut shared, base, row, 2 * k + 1, high);
            }
        }
    }
    for (m_total, from_tensor) in [(128, false), (64, false), (128, true)] {
        let mut tensor = TensorMemory::new();
        assert_eq!(tensor.allocate(128), Ok(Some(0)));
        for lane in 0..128 {
            tensor.row_mut(lane, 0)[..64].fill(8f32.to_bits());
            for (k, cell) in (0..16).step_by(2).zip(tensor.row_mut(lane, 64)) {
                *cell =
                    u32::from(bf16(element(lane, k))) | u32::from(bf16(element(lane, k + 1))) << 16;
            }
        }
        let mma = Mma {
            kind: Kind::F16,
            group: CtaGroup::One,
            d: 0,
            a: if from_tensor {
                AOperand::Tensor(64)
            } else {
                AOperand::Shared(descriptor(SWIZZLED, A))
            },
            b: descriptor(SWIZZLED, B),
            instruction: 1 << 4 | 1 << 7 | 1 << 10 | 8 << 17 | (m_total as u32 / 16) << 24,
            scales: None,
            accumulate: true,
            disabled_lanes: [0, 1 << 2, 0, 0, 0, 0, 0, 0],
            scale_input_d: 2,
            stationary: None,
        };
        mma.execute(&mut [Cta {
            shared: &shared,
            tensor: &mut tensor,
        }])
        .unwrap();
        for m in 0..m_total {
            for n in 0..64 {
                let (_, lane, column) = accumulator_cell(CtaGroup::One, m_total, 64, m, n);
                let got = f32::from_bits(tensor.cell(lane, column).unwrap());
                let dot: f32 = (0..16).map(|k| element(m, k) * element(n + 40, k)).sum();
                assert_eq!(
                    got,
                    if lane == 34 { 8.0 } else { 2.0 + dot },
                    "({m}, {n}) of {m_total}"
                );
            }
        }
    }
}

/// Scale words of four different bytes per row: the ids choose among them.
fn mx_tensor() -> TensorMemory {
    let mut tensor = TensorMemory::new();
    assert_eq!(tensor.allocate(512), Ok(Some(0)));
    for lane in 0..128 {
        for column in 0..8 {
            tensor.row_mut(lane, 256 + column)[0] = mx_word(column as usize % 4 * 32 + lane % 32);
        }
    }
    tensor
}

fn mx_word(row: usize) -> u32 {
    u32::from_le_bytes([0, 1, 2, 3].map(|i| 120 + ((row * 3 + i * 5) % 16) as u8))
}

fn mx(kind: Kind, vector: ScaleVector, instruction: u32) -> Mma {
    Mma {
        kind,
        instruction: instruction | 1 << 23 | 8 << 17 | 1 << 27,
        scales: Some(ScaleOperands {
            vector,
            a: 256,
            b: 260,
        }),
        ..step(CtaGroup::One, 0, 0)
    }
}

#[test]
fn scale_ids_choose_half_words_and_bytes() {
    let shared = shared_memory(0, 128, 0, 0);
    let row = |base: usize, row: usize| -> Vec<u8> {
        (0..32)
            .map(|column| shared[base + row * 128 + (column ^ ((row % 8) << 4))])
            .collect()
    };
    for (id_a, id_b) in [(0, 2), (2, 0)] {
        let mut tensor = mx_tensor();
        let mma = mx(
            Kind::Mxf4,
            ScaleVector::X2,
            1 << 7 | 1 << 10 | id_a << 29 | id_b << 4,
        );
        mma.execute(&mut [Cta {
            shared: &shared,
            tensor: &mut tensor,
        }])
        .unwrap();
        for (m, n) in [(0, 0), (77, 13), (127, 63)] {
            let scales = |row: usize, id: u32| {
                let bytes = mx_word(row).to_le_bytes();
                let (first, second) = (bytes[id as usize], bytes[id as usize + 1]);
                [first, first, second, second]
            };
            let (a, b) = (row(A, m), row(B, n));
            let format = super::super::descriptor::ScaleFormat::Ue8m0;
            let expected =
                scalar::block_scaled(&a, &b, scales(m, id_a), scales(n, id_b), format, 0);
            assert_eq!(tensor.cell(m, n), Some(expected));
        }
    }
    for (id_a, id_b) in [(0, 3), (2, 1)] {
        let mut tensor = mx_tensor();
        let mma = mx(
            Kind::Mxf8f6f4,
            ScaleVector::X1,
            5 << 7 | 5 << 10 | id_a << 29 | id_b << 4,
        );
        mma.execute(&mut [Cta {
            shared: &shared,
            tensor: &mut tensor,
        }])
        .unwrap();
        for (m, n) in [(0, 0), (77, 13), (127, 63)] {
            let scale = |row: usize, id: u32| {
                2f64.powi(i32::from(mx_word(row).to_le_bytes()[id as usize]) - 127)
            };
            let values = |row: Vec<u8>| {
                format::elements(Format::E2m1, &row)
                    .into_iter()
                    .map(|c| value(c as u8))
            };
            let dot: f64 = values(row(A, m))
                .zip(values(row(B, n)))
                .map(|(a, b)| a * b)
                .sum();
            let expected = dot * scale(m, id_a) * scale(n, id_b);
            assert_eq!(
                tensor
                    .cell(m, n)
                    .map(|bits| f64::from(f32::from_bits(bits))),
                Some(expected)
            );
        }
    }
}

/// M = 128 on a pair: 64 rows per CTA, the halves of N one above the other in tensor memory.
#[test]
fn a_pair_of_half_height_tiles() {
    let element = |row: usize, k: usize| ((row * 7 + k * 3) % 11) as i8 - 5;
    let shared = [0, 1].map(|cta| {
        let mut shared = vec![0; WINDOW];
        for row in 0..64 {
            for k in 0..32 {
                put(&mut shared, A, row, k, element(64 * cta + row, k) as u8);
                put(
                    &mut shared,
                    B,
                    row,
                    k,
                    element(200 + 32 * cta + row, k) as u8,
                );
            }
        }
        shared
    });
    let mut tensors = [TensorMemory::new(), TensorMemory::new()];
    tensors
        .iter_mut()
        .for_each(|t| assert_eq!(t.allocate(32), Ok(Some(0))));
    let instruction = 2 << 4 | 1 << 7 | 1 << 10 | 8 << 17 | 8 << 24;
    let mma = Mma {
        kind: Kind::I8,
        instruction,
        scales: None,
        ..step(CtaGroup::Two, 0, 0)
    };
    let [even, odd] = &mut tensors;
    let mut ctas = [
        Cta {
            shared: &shared[0],
            tensor: even,
        },
        Cta {
            shared: &shared[1],
            tensor: odd,
        },
    ];
    mma.execute(&mut ctas).unwrap();
    for m in 0..128 {
        for n in 0..64 {
            let dot: i32 = (0..32)
                .map(|k| i32::from(element(m, k)) * i32::from(element(200 + n, k)))
                .sum();
            let (cta, lane, column) = accumulator_cell(CtaGroup::Two, 128, 64, m, n);
            assert_eq!(
                tensors[cta].cell(lane, column),
                Some(dot as u32),
                "({m}, {n})"
            );
        }
    }
}
