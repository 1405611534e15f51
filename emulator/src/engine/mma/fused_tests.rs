use super::super::format::Element;
use super::*;

fn random(state: &mut u64) -> u32 {
    *state = state
        .wrapping_mul(6364136223846793005)
        .wrapping_add(1442695040888963407);
    (*state >> 33) as u32 ^ (*state >> 16) as u32
}

fn finite(format: Format, row: &[u8]) -> Option<Vec<Term>> {
    let terms = elements(format, row)
        .into_iter()
        .map(|bits| match decode(format, bits) {
            Element::Finite(term) => Some(term),
            _ => None,
        });
    terms.collect()
}

/// Makes special values of IEEE formats finite by clearing a bit of the exponent.
fn tame(format: Format, row: &mut [u8]) {
    let step = match format {
        Format::F16 | Format::Bf16 => 2,
        Format::Tf32 => 4,
        _ => 1,
    };
    let mask = if format == Format::E4m3 { 0xFE } else { 0xBF };
    if !matches!(format, Format::E2m1 | Format::E2m3 | Format::E3m2) {
        row.iter_mut()
            .skip(step - 1)
            .step_by(step)
            .for_each(|byte| *byte &= mask);
    }
}

#[test]
fn vector_sums_equal_the_definition() {
    let mut state = 7;
    let formats = [
        Format::F16,
        Format::Bf16,
        Format::Tf32,
        Format::E4m3,
        Format::E5m2,
        Format::E2m1,
        Format::E3m2,
    ];
    let mut compared = 0;
    for round in 0..60 {
        let (m, n) = (7, 24);
        let format = formats[round % 7];
        let other = if format == Format::E4m3 {
            Format::E2m3
        } else {
            format
        };
        let rows = |count: usize, format: Format, state: &mut u64| {
            let mut rows: Vec<u8> = (0..count * 32).map(|_| random(state) as u8).collect();
            tame(format, &mut rows);
            rows
        };
        let (a, b) = (rows(m, format, &mut state), rows(n, other, &mut state));
        let scaled = round % 3 == 0;
        let mut scales = |count: usize| -> Vec<Option<i32>> {
            (0..count)
                .map(|_| {
                    Some(if scaled {
                        random(&mut state) as i32 % 30
                    } else {
                        0
                    })
                })
                .collect()
        };
        let (scales_a, scales_b) = (scales(m), scales(n));
        let (fraction, output) = [
            (25, Output::F32),
            (13, Output::F32Fraction13),
            (25, Output::F16),
        ][round % 3];
        let product = Product {
            a: &a,
            a_format: format,
            b: &b,
            b_format: other,
            scales_a: &scales_a,
            scales_b: &scales_b,
            negate: false,
            fraction,
            output,
            scale_c: 0,
        };
        let before: Vec<u32> = (0..m * n)
            .map(|_| {
                if output == Output::F16 {
                    random(&mut state) & 0xBBFF
                } else {
                    random(&mut state) & 0xBFFF_FFFF
                }
            })
            .collect();
        let mut d = before.clone();
        product.multiply(&mut d, n, true);
        for i in 0..m {
            for j in 0..n {
                let (Some(a), Some(b)) = (
                    finite(format, &a[i * 32..][..32]),
                    finite(other, &b[j * 32..][..32]),
                ) else {
                    continue;
                };
                let old = before[i * n + j];
                let c = match output {
                    Output::F16 => decode(Format::F16, old),
                    _ => Element::Finite(scalar::f32_term(old).unwrap()),
                };
                let Element::Finite(c) = c else {
                    panic!("C is finite")
                };
                let pairs: Vec<_> = a.into_iter().zip(b).collect();
                let scale = scales_a[i].unwrap() + scales_b[j].unwrap();
                let (sum, unit) = definition(&pairs, scale, c, fraction);
                let expected = match output {
                    Output::F32 => scalar::f32_toward_zero(sum, unit),
                    Output::F32Fraction13 => scalar::f32_toward_zero(sum, unit) & !0x3FF,
                    Output::F16 => scalar::f16_nearest(sum, unit),
                };
                assert_eq!(
                    d[i * n + j],
                    expected,
                    "{format:?} x {other:?} ({i}, {j}) {output:?}"
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 9000, "{compared}");
}

fn single(a: [u16; 2], b: [u16; 2], c: f32) -> u32 {
    let row = |values: [u16; 2]| {
        let mut row = [0; 32];
        row[..2].copy_from_slice(&values[0].to_le_bytes());
        row[2..4].copy_from_slice(&values[1].to_le_bytes());
        row
    };
    let (a, b) = (row(a), row(b));
    let product = Product {
        a: &a,
        a_format: Format::F16,
        b: &b,
        b_format: Format::F16,
        scales_a: &[Some(0)],
        scales_b: &[Some(0)],
        negate: false,
        fraction: 25,
        output: Output::F32,
        scale_c: 0,
    };
    let mut d = [c.to_bits()];
    product.multiply(&mut d, 1, true);
    d[0]
}

#[test]
fn special_values() {
    let (one, infinity, nan, minus_one) = (0x3C00, 0x7C00, 0x7E00, 0xBC00);
    assert_eq!(single([one, one], [one, one], 0.5), 2.5f32.to_bits());
    assert_eq!(
        single([infinity, 0], [one, 0], 0.0),
        f32::INFINITY.to_bits()
    );
    assert_eq!(
        single([infinity, infinity], [one, minus_one], 0.0),
        scalar::NAN
    );
    assert_eq!(single([infinity, 0], [0, 0], 0.0), scalar::NAN);
    assert_eq!(single([nan, 0], [0, 0], 0.0), scalar::NAN);
    assert_eq!(
        single([one, 0], [one, 0], f32::NEG_INFINITY),
        f32::NEG_INFINITY.to_bits()
    );
    assert_eq!(
        single([infinity, 0], [one, 0], f32::NEG_INFINITY),
        scalar::NAN
    );
    assert_eq!(single([one, 0], [one, 0], -1.0), 0);
}
