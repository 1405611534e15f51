//! The fast exact reference against a slow and obvious one, and against all code points.

use nvfp4gen::numerics::reference::{Element, NO_EXPONENT, Operand, Reference};
use nvfp4gen::numerics::{NumericsError, e2m1, e4m3};

/// A small generator, independent of the library's own.
struct Lcg(u64);

impl Lcg {
    fn byte(&mut self) -> u8 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 56) as u8
    }

    fn codes(&mut self, rows: usize, k: usize) -> Vec<u8> {
        (0..rows * k / 2).map(|_| self.byte()).collect()
    }

    /// The whole E4M3 range, NaN excluded.
    fn scales(&mut self, rows: usize, k: usize) -> Vec<u8> {
        (0..rows * k / 16).map(|_| self.byte() % 127).collect()
    }
}

/// One element straight from the definition, in i128 units of 2^-20; `None` if NaN.
fn element(a: &[u8], sfa: &[u8], b: &[u8], sfb: &[u8]) -> Option<Element> {
    let (mut sum, mut peak, mut exponent) = (0i128, 0i128, i32::MIN);
    for k in 0..a.len() * 2 {
        let (scale_a, scale_b) = (e4m3::units(sfa[k / 16])?, e4m3::units(sfb[k / 16])?);
        let exact = |bytes: &[u8]| i128::from(e2m1::DOUBLED[usize::from(e2m1::code_at(bytes, k))]);
        sum += exact(a) * exact(b) * i128::from(scale_a) * i128::from(scale_b);
        if let (Some(x), Some(y)) = (e4m3::exponent(sfa[k / 16]), e4m3::exponent(sfb[k / 16])) {
            exponent = exponent.max(x + y);
        }
        if k % 64 == 63 {
            peak = peak.max(sum.abs());
        }
    }
    Some(Element {
        sum: sum.try_into().unwrap(),
        peak: peak.try_into().unwrap(),
        exponent,
    })
}

fn same(got: Option<Element>, expected: Option<Element>) -> bool {
    match (got, expected) {
        (Some(got), Some(expected)) if expected.exponent == i32::MIN => {
            got.exponent <= NO_EXPONENT && (got.sum, got.peak) == (expected.sum, expected.peak)
        }
        _ => got == expected,
    }
}

fn check(m: usize, n: usize, k: usize, edit: impl Fn(&mut [u8], &mut [u8])) {
    let mut random = Lcg((m * 1_000_003 + n * 1009 + k) as u64);
    let (a, b) = (random.codes(m, k), random.codes(n, k));
    let (mut sfa, mut sfb) = (random.scales(m, k), random.scales(n, k));
    edit(&mut sfa, &mut sfb);
    let rows = Operand::new(m, k, &a, &sfa).unwrap();
    let columns = Operand::new(n, k, &b, &sfb).unwrap();
    let reference = Reference::compute(&rows, &columns).unwrap();
    assert_eq!((reference.rows(), reference.columns()), (m, n));
    for row in 0..m {
        for column in 0..n {
            let of = |x: &[u8], index: usize, stride: usize| x[index * stride..][..stride].to_vec();
            let expected = element(
                &of(&a, row, k / 2),
                &of(&sfa, row, k / 16),
                &of(&b, column, k / 2),
                &of(&sfb, column, k / 16),
            );
            let got = reference.at(row, column);
            assert!(
                same(got, expected),
                "{m}x{n}x{k} [{row}, {column}]: {got:?} {expected:?}"
            );
        }
    }
}

#[test]
fn reference_equals_the_definition() {
    for (m, n, k) in [
        (1, 1, 64),
        (3, 31, 64),
        (4, 32, 128),
        (5, 33, 192),
        (9, 72, 320),
        (2, 8, 7168),
    ] {
        check(m, n, k, |_, _| ());
    }
}

#[test]
fn reference_of_no_rows_is_empty() {
    check(0, 8, 64, |_, _| ());
    check(8, 0, 64, |_, _| ());
}

#[test]
fn a_nan_scale_spoils_its_row_or_column_and_nothing_else() {
    check(6, 40, 128, |sfa, sfb| {
        sfa[8 * 2 + 3] = e4m3::NAN;
        sfb[8 * 37] = e4m3::NAN;
    });
}

#[test]
fn zero_scales_have_no_exponent() {
    check(5, 9, 128, |sfa, sfb| {
        sfa[..16].fill(0);
        sfb[..12].fill(0);
    });
}

#[test]
fn the_extreme_sum_fits() {
    let k = nvfp4gen::numerics::MAX_K;
    let (codes, scales) = (vec![0x77; k / 2], vec![e4m3::MAX_CODE; k / 16]);
    let operand = Operand::new(1, k, &codes, &scales).unwrap();
    let element = Reference::compute(&operand, &operand)
        .unwrap()
        .at(0, 0)
        .unwrap();
    let expected = 144 * (1i64 << 18) * 229_376 * 229_376;
    assert_eq!(
        (element.sum, element.peak, element.exponent),
        (expected, expected, 16)
    );
}

/// Every pair of E2M1 codes under every pair of finite scale codes, each alone in its sum.
#[test]
fn every_product_of_code_points_is_exact() {
    let all_scales: Vec<u8> = (0..=e4m3::MAX_CODE).collect();
    for code_a in 0..16u8 {
        // Row s of A has the one element code_a under scale s; row 127 c + s of B has code c under scale s.
        let single = |code: u8| -> Vec<u8> {
            let mut row = vec![0; 32];
            row[0] = code;
            row
        };
        let scaled = |&scale: &u8| [scale, 0x38, 0x38, 0x38];
        let a: Vec<u8> = all_scales.iter().flat_map(|_| single(code_a)).collect();
        let sfa: Vec<u8> = all_scales.iter().flat_map(scaled).collect();
        let pairs = || (0..16u8).flat_map(|code| all_scales.iter().map(move |&s| (code, s)));
        let b: Vec<u8> = pairs().flat_map(|(code, _)| single(code)).collect();
        let sfb: Vec<u8> = pairs().flat_map(|(_, scale)| scaled(&scale)).collect();
        let rows = Operand::new(127, 64, &a, &sfa).unwrap();
        let columns = Operand::new(16 * 127, 64, &b, &sfb).unwrap();
        let reference = Reference::compute(&rows, &columns).unwrap();
        for (row, &scale_a) in all_scales.iter().enumerate() {
            for (column, (code_b, scale_b)) in pairs().enumerate() {
                // All four factors have few bits: the f64 product is exact.
                let value =
                    |code, scale| f64::from(e2m1::decode(code)) * f64::from(e4m3::decode(scale));
                let expected = value(code_a, scale_a) * value(code_b, scale_b);
                let got = reference.at(row, column).unwrap().sum as f64 / (1u64 << 20) as f64;
                assert_eq!(
                    got, expected,
                    "{code_a:x} * {scale_a:x} * {code_b:x} * {scale_b:x}"
                );
            }
        }
    }
}

#[test]
fn slices_are_the_rows_they_name() {
    let mut random = Lcg(7);
    let (codes, scales) = (random.codes(10, 64), random.scales(10, 64));
    let all = Operand::new(10, 64, &codes, &scales).unwrap();
    let whole = Reference::compute(&all, &all).unwrap();
    let part = Reference::compute(&all.slice(3..7), &all.slice(2..10)).unwrap();
    assert_eq!((part.rows(), part.columns()), (4, 8));
    for row in 0..4 {
        for column in 0..8 {
            assert_eq!(part.at(row, column), whole.at(row + 3, column + 2));
        }
    }
}

#[test]
fn bad_operands_are_refused() {
    let refusal = |rows, k, codes: usize, scales: &[u8]| {
        Operand::new(rows, k, &vec![0; codes], scales)
            .unwrap_err()
            .to_string()
    };
    let mut signed = [0x38; 8];
    signed[6] = 0xB8;
    let messages = [
        refusal(1, 96, 48, &[0; 6]),
        refusal(1, 0, 0, &[]),
        refusal(1, (1 << 18) + 64, 0, &[]),
        refusal(2, 64, 63, &[0; 8]),
        refusal(2, 64, 64, &[0; 4]),
        refusal(2, 64, 64, &signed),
    ];
    insta::assert_snapshot!(messages.join("\n"));
    let (codes, scales) = ([0; 64], [0; 8]);
    let shallow = Operand::new(1, 64, &codes[..32], &scales[..4]).unwrap();
    let deep = Operand::new(1, 128, &codes, &scales).unwrap();
    let error = Reference::compute(&shallow, &deep).unwrap_err();
    assert_eq!(error, NumericsError::DepthMismatch { a: 64, b: 128 });
}

/// Prints the speed of the reference: `cargo test --release --test numerics speed -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a check"]
fn speed() {
    let (m, n, k) = (248, 4096, 7168);
    let mut random = Lcg(1);
    let (a, b) = (random.codes(m, k), random.codes(n, k));
    let (sfa, sfb) = (random.scales(m, k), random.scales(n, k));
    let rows = Operand::new(m, k, &a, &sfa).unwrap();
    let columns = Operand::new(n, k, &b, &sfb).unwrap();
    let start = std::time::Instant::now();
    let reference = Reference::compute(&rows, &columns).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let giga = (m * n * k) as f64 / 1e9;
    println!(
        "{giga:.2} G multiply-adds in {seconds:.3} s, {:.1} G/s, {:?}",
        giga / seconds,
        reference.at(1, 1)
    );
}
