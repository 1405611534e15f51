use super::*;

/// A small generator, so that failures repeat (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize]
    }
}

fn scales(random: &mut Random, count: usize, draw: &dyn Fn(&mut Random) -> u8) -> Vec<[u8; 4]> {
    (0..count).map(|_| [(); 4].map(|()| draw(random))).collect()
}

/// Checks one tile twice (with and without C) and returns how many elements it compared.
fn compare(
    random: &mut Random,
    (m, n): (usize, usize),
    format: ScaleFormat,
    codes: &dyn Fn(&mut Random) -> u8,
    draw: &dyn Fn(&mut Random) -> u8,
    c: &dyn Fn(&mut Random) -> u32,
) -> usize {
    let a: Vec<u8> = (0..m * 32).map(|_| codes(random)).collect();
    let b: Vec<u8> = (0..n * 32).map(|_| codes(random)).collect();
    let (scales_a, scales_b) = (scales(random, m, draw), scales(random, n, draw));
    let tile = Tile {
        a: &a,
        b: &b,
        scales_a: &scales_a,
        scales_b: &scales_b,
        format,
    };
    let stride = n + 3;
    let before: Vec<u32> = (0..m * stride).map(|_| c(random)).collect();
    for accumulate in [true, false] {
        let mut d = before.clone();
        tile.multiply(&mut d, stride, accumulate);
        for i in 0..m {
            for j in 0..stride {
                let old = before[i * stride + j];
                let expected = if j < n {
                    let (a, b) = (&a[i * 32..][..32], &b[j * 32..][..32]);
                    let c = if accumulate { old } else { 0 };
                    scalar::block_scaled(a, b, scales_a[i], scales_b[j], format, c)
                } else {
                    old
                };
                let got = d[i * stride + j];
                assert_eq!(
                    got, expected,
                    "({i}, {j}) of {m} x {n}: got {got:#x}, not {expected:#x}, C {old:#x}"
                );
            }
        }
    }
    2 * m * n
}

/// Bit patterns of C: all finite, ordinary, tiny, huge, special.
fn any_c(random: &mut Random) -> u32 {
    let bits = random.next() as u32;
    match random.below(8) {
        0 => bits,
        1 => bits & 0x807F_FFFF,
        2 => 0x7F00_0000 | bits & 0x807F_FFFF,
        3 => random.pick(&[
            0,
            1 << 31,
            0x7F80_0000,
            0xFF80_0000,
            0x7FC0_0000,
            0x7F7F_FFFF,
            1,
            0x0080_0000,
        ]),
        _ => bits & 0x807F_FFFF | (100 + (bits >> 23) % 60) << 23,
    }
}

fn any_codes(random: &mut Random) -> u8 {
    random.next() as u8
}

/// Every regime of UE4M3 scales against the definition: all bytes, ordinary ones, subnormals, mixtures with zero and NaN.
#[test]
fn ue4m3_equals_the_definition() {
    let mut random = Random(0x1234_5678_9ABC_DEF1);
    let mut count = 0;
    type Draw = fn(&mut Random) -> u8;
    let regimes: [Draw; 6] = [
        |r| r.next() as u8,
        |r| 0x20 + r.below(0x40) as u8,
        |r| r.below(8) as u8,
        |r| r.pick(&[0, 0, 1, 7, 8, 0x7E]),
        |r| {
            r.pick(&[
                0x7F, 0xFF, 0x38, 0x38, 0x38, 0x38, 0x38, 0x38, 0x39, 0x39, 0x3A, 0, 0x80, 0x38,
                0x38, 0x38,
            ])
        },
        |r| r.pick(&[0x01, 0x7E, 0x08]),
    ];
    for round in 0..24 {
        for draw in regimes {
            let shape = random.pick(&[(128, 128), (64, 32), (128, 40), (16, 8), (33, 256), (1, 1)]);
            if round % 2 == 0 {
                count += compare(
                    &mut random,
                    shape,
                    ScaleFormat::Ue4m3,
                    &any_codes,
                    &draw,
                    &any_c,
                );
            } else {
                let c = |r: &mut Random| {
                    (r.next() as u32 & 0x807F_FFFF) | (110 + r.below(40) as u32) << 23
                };
                count += compare(
                    &mut random,
                    shape,
                    ScaleFormat::Ue4m3,
                    &any_codes,
                    &draw,
                    &c,
                );
            }
        }
    }
    assert!(count > 1_000_000, "{count}");
}

/// UE8M0 scales, near each other (fast) and anywhere (scalar).
#[test]
fn ue8m0_equals_the_definition() {
    let mut random = Random(0xFEDC_BA98_7654_3211);
    for round in 0..6 {
        let near = |r: &mut Random| 127 - 25 + r.below(50) as u8;
        let wide = |r: &mut Random| r.next() as u8;
        let edge = |r: &mut Random| r.pick(&[127, 97, 157, 96, 158, 0, 255]);
        let shape = if round % 2 == 0 { (64, 64) } else { (17, 48) };
        compare(
            &mut random,
            shape,
            ScaleFormat::Ue8m0,
            &any_codes,
            &near,
            &any_c,
        );
        compare(
            &mut random,
            shape,
            ScaleFormat::Ue8m0,
            &any_codes,
            &wide,
            &any_c,
        );
        compare(
            &mut random,
            shape,
            ScaleFormat::Ue8m0,
            &any_codes,
            &edge,
            &any_c,
        );
    }
}

/// Sums that cancel to nothing or to the last bit.
#[test]
fn cancellation_equals_the_definition() {
    let mut random = Random(42);
    let codes = |r: &mut Random| r.pick(&[0x77, 0xFF, 0x7F, 0xF7, 0x11, 0x91]);
    let draw = |r: &mut Random| r.pick(&[0x38, 0x39, 0x40]);
    let c = |r: &mut Random| {
        let multiple = r.below(9000) as f32 - 4500.0;
        f32::to_bits(multiple * r.pick(&[0.25, 0.125, 1.0, -1.0, 2f32.powi(-20)]))
    };
    for _ in 0..8 {
        compare(&mut random, (96, 96), ScaleFormat::Ue4m3, &codes, &draw, &c);
    }
}

#[test]
fn codes_are_doubled_without_a_table() {
    for code in 0..16 {
        assert_eq!(doubled(code), scalar::e2m1_doubled(code));
    }
}
