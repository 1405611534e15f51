//! The drawn data, the bound and the comparison, tried on a scalar model of the tensor core and on planted mistakes.

use nvfp4gen::numerics::{e2m1, e4m3, scales};
use nvfp4gen::problem::{Group, OutputType, ShapeFile};
use nvfp4gen::verify::{
    Data, GroupInputs, GroupVerdict, SetVerdict, Summation, check_group, draw, exact_output,
};

const F16: OutputType = OutputType::F16;

/// An accumulator that is a multiple of 2^-80; everything below is done in such integers, which never overflow here.
const FRACTION: i32 = 80;

/// What the tensor core leaves in the accumulator after one step of 64 (brief, 2.7), written without regard to speed.
/// `a`, `b` are doubled elements, `sfa`, `sfb` four scale codes each; no NaN.
fn tensor_core_step(c: f32, a: &[i32], b: &[i32], sfa: &[u8], sfb: &[u8]) -> f32 {
    let zero_exponent = -126;
    let exponent = |code: u8| e4m3::exponent(code).unwrap_or(zero_exponent);
    let c_exponent = if c == 0.0 {
        zero_exponent
    } else {
        (c.to_bits() >> 23 & 0xFF) as i32 - 127
    };
    let top = (0..4)
        .map(|g| exponent(sfa[g]) + exponent(sfb[g]))
        .fold(c_exponent, i32::max);
    // Truncated toward zero to a multiple of 2^(top - 35).
    let truncate = |exact: i128| {
        let unit = top - 35 + FRACTION;
        if unit <= 0 {
            exact
        } else {
            exact / (1 << unit) * (1 << unit)
        }
    };
    let mut sum = truncate(fixed(c));
    for g in 0..4 {
        let dot: i32 = (0..16).map(|i| a[g * 16 + i] * b[g * 16 + i]).sum();
        let units = |code: u8| i128::from(e4m3::units(code).unwrap());
        let exact = i128::from(dot) * units(sfa[g]) * units(sfb[g]); // in units of 2^-20
        sum += truncate(exact << (FRACTION - 20));
    }
    toward_zero(sum)
}

/// A float as a multiple of 2^-80, exactly; anything this model produces is one.
fn fixed(x: f32) -> i128 {
    let bits = x.to_bits();
    let (field, mantissa) = ((bits >> 23 & 0xFF) as i32, i128::from(bits & 0x7F_FFFF));
    if field == 0 {
        return 0;
    }
    let magnitude = ((1 << 23) | mantissa) << (field - 127 - 23 + FRACTION);
    if x < 0.0 { -magnitude } else { magnitude }
}

/// The f32 next to a multiple of 2^-80 on the side of zero.
fn toward_zero(x: i128) -> f32 {
    let magnitude = x.unsigned_abs();
    let length = 128 - magnitude.leading_zeros() as i32;
    let dropped = (length - 24).max(0);
    let kept = (magnitude >> dropped) as f64 * 2f64.powi(dropped - FRACTION);
    if x < 0 { -kept as f32 } else { kept as f32 }
}

/// A kernel's output as the model has it, in the output type.
fn tensor_core(group: &Group, inputs: &GroupInputs) -> Vec<u8> {
    let [m, n, k] = [group.m, group.n, group.k].map(|size| size as usize);
    let doubled = |packed: &[u8], row: usize| -> Vec<i32> {
        let codes = e2m1::unpack(&packed[row * k / 2..][..k / 2]);
        codes
            .map(|code| i32::from(e2m1::DOUBLED[usize::from(code)]))
            .collect()
    };
    let b: Vec<Vec<i32>> = (0..n).map(|row| doubled(&inputs.b, row)).collect();
    let mut output = Vec::new();
    for row in 0..m {
        let a = doubled(&inputs.a, row);
        for (column, b) in b.iter().enumerate() {
            let mut c = 0.0;
            for step in 0..k / 64 {
                let sfa = &inputs.sfa[row * k / 16 + step * 4..][..4];
                let sfb = &inputs.sfb[column * k / 16 + step * 4..][..4];
                let range = step * 64..step * 64 + 64;
                c = tensor_core_step(c, &a[range.clone()], &b[range], sfa, sfb);
            }
            output.extend(half::f16::from_f32(c).to_le_bytes());
        }
    }
    output
}

fn drawn(group: &Group, seed: u64, data: Data) -> GroupInputs {
    draw::group(group, 0, seed, data).unwrap()
}

fn verdict(group: &Group, inputs: &GroupInputs, got: &[u8]) -> GroupVerdict {
    check_group(0, group, F16, Summation::block_scaled(1), inputs, got).unwrap()
}

#[test]
fn the_tensor_core_stays_within_the_bound() {
    for (group, seed) in [
        (
            Group {
                m: 16,
                n: 16,
                k: 64,
            },
            1,
        ),
        (
            Group {
                m: 33,
                n: 24,
                k: 192,
            },
            2,
        ),
        (
            Group {
                m: 16,
                n: 16,
                k: 2048,
            },
            3,
        ),
        (
            Group {
                m: 12,
                n: 16,
                k: 7168,
            },
            4,
        ),
        (
            Group {
                m: 1,
                n: 8,
                k: 1 << 18,
            },
            5,
        ),
    ] {
        let inputs = drawn(&group, seed, Data::FullRange);
        let verdict = verdict(&group, &inputs, &tensor_core(&group, &inputs));
        assert!(verdict.passed(), "{group}: {verdict}");
        assert_eq!(verdict.elements, u64::from(group.m) * u64::from(group.n));
    }
}

#[test]
fn without_cancellation_the_bound_and_the_tensor_core_are_within_one_ulp() {
    for k in [64, 512, 1536, 2048, 4096, 7168] {
        let group = Group { m: 16, n: 24, k };
        let inputs = drawn(&group, u64::from(k), Data::NoCancellation);
        let verdict = verdict(&group, &inputs, &tensor_core(&group, &inputs));
        assert!(
            verdict.passed() && verdict.max_ulps <= 1.0,
            "K = {k}: {verdict}"
        );
        let (a, b) = inputs.operands(&group).unwrap();
        let reference = nvfp4gen::numerics::reference::Reference::compute(&a, &b).unwrap();
        for (row, column) in (0..16).flat_map(|row| (0..24).map(move |column| (row, column))) {
            let element = reference.at(row, column).unwrap();
            let format = nvfp4gen::numerics::round::F16;
            let bound = nvfp4gen::verify::bound::Bound::of(
                Summation::block_scaled(1),
                &element,
                0.0,
                k as usize,
                format,
            );
            let ulp = format.ulp(element.sum as f64 / (1u64 << 20) as f64);
            assert!(bound.total() <= ulp, "K = {k}: {bound:?} at {element:?}");
        }
    }
}

/// A small term joins a sum that is huge for the moment, and is lost. The tensor core is hundreds of ulps off in
/// what is left after the cancellation; that is its right, and the bound must know it.
#[test]
fn cancellation_is_what_the_peak_is_for() {
    let group = Group { m: 1, n: 8, k: 256 };
    let (mut a, mut b_row) = (vec![1u8; 256], vec![0u8; 256]);
    (a[0], a[64]) = (7, 15); // 6 and -6, by 6 and scales of 448: 7,225,344 comes and goes
    (b_row[0], b_row[64]) = (7, 7);
    (b_row[16], b_row[130]) = (1, 3); // 0.25 in the first step, 0.75 in the third
    let mut scale = vec![0x38; 16];
    (scale[0], scale[4]) = (0x7E, 0x7E);
    let (sfa, sfb) = (scale.clone(), scale.repeat(8));
    let inputs = GroupInputs {
        a: e2m1::pack(&a),
        b: e2m1::pack(&b_row.repeat(8)),
        sfa_blocked: scales::to_blocked(&sfa, 1, 16, |_| 0x7F).unwrap(),
        sfb_blocked: scales::to_blocked(&sfb, 8, 16, |_| 0x7F).unwrap(),
        sfa,
        sfb,
    };
    let stored = |x: f32| half::f16::from_f32(x).to_le_bytes().repeat(8);
    assert_eq!(exact_output(0, &group, F16, &inputs).unwrap(), stored(1.0));
    let got = tensor_core(&group, &inputs);
    assert_eq!(got, stored(0.75));
    let verdict = verdict(&group, &inputs, &got);
    assert!(verdict.passed() && verdict.max_ulps > 200.0, "{verdict}");
}

#[test]
fn a_perfect_output_passes_in_every_type() {
    let group = Group {
        m: 37,
        n: 72,
        k: 320,
    };
    let inputs = drawn(&group, 9, Data::FullRange);
    for output in OutputType::ALL {
        let exact = exact_output(0, &group, output, &inputs).unwrap();
        let verdict = check_group(
            0,
            &group,
            output,
            Summation::block_scaled(1),
            &inputs,
            &exact,
        )
        .unwrap();
        assert!(
            verdict.passed() && verdict.max_ulps <= 0.5,
            "{output}: {verdict}"
        );
    }
}

/// Each mistake is made in the data a perfect kernel would then compute with.
#[test]
fn planted_mistakes_are_found() {
    let group = Group {
        m: 16,
        n: 24,
        k: 7168,
    };
    let inputs = drawn(&group, 10, Data::FullRange);
    let columns = group.k as usize / 16;
    type Mistake = fn(&mut GroupInputs, usize);
    let mistakes: [(&str, Mistake); 7] = [
        ("nibbles swapped in one step of one row", |x, _| {
            x.a[3616..3648]
                .iter_mut()
                .for_each(|byte| *byte = byte.rotate_left(4));
        }),
        ("one sign lost", |x, _| {
            x.b[..16].iter_mut().for_each(|byte| *byte &= 0x77)
        }),
        ("scale columns off by one", |x, _| x.sfa.rotate_right(1)),
        ("scale columns off by four", |x, _| x.sfb.rotate_left(4)),
        ("scale rows exchanged", |x, columns| {
            x.sfa.rotate_left(columns)
        }),
        ("exponent bit of all scales lost", |x, _| {
            x.sfb.iter_mut().for_each(|s| *s &= 0x77)
        }),
        ("last step dropped", |x, columns| {
            x.sfa
                .chunks_mut(columns)
                .for_each(|row| row[columns - 4..].fill(0));
        }),
    ];
    for (what, mistake) in mistakes {
        let mut wrong = inputs.clone();
        mistake(&mut wrong, columns);
        let got = exact_output(0, &group, F16, &wrong).unwrap();
        let verdict = verdict(&group, &inputs, &got);
        assert!(!verdict.passed(), "{what}: {verdict}");
    }
}

/// Every single scale byte matters: doubling it (or more) is seen in the output.
#[test]
fn a_single_wrong_scale_is_found() {
    let group = Group {
        m: 1,
        n: 64,
        k: 7168,
    };
    let inputs = drawn(&group, 11, Data::FullRange);
    let mut unseen = 0;
    for column in 0..group.k as usize / 16 {
        let mut wrong = inputs.clone();
        wrong.sfa[column] = (wrong.sfa[column] + 8).min(e4m3::MAX_CODE);
        if wrong.sfa == inputs.sfa {
            continue;
        }
        let got = exact_output(0, &group, F16, &wrong).unwrap();
        unseen += u32::from(verdict(&group, &inputs, &got).passed());
    }
    assert_eq!(unseen, 0);
}

#[test]
fn the_first_offence_is_named() {
    let group = Group {
        m: 20,
        n: 40,
        k: 128,
    };
    let inputs = drawn(&group, 12, Data::FullRange);
    let mut got = exact_output(2, &group, F16, &inputs).unwrap();
    for (row, column) in [(7, 31), (7, 5), (19, 0)] {
        let at = (row * 40 + column) * 2;
        got[at..at + 2].copy_from_slice(&half::f16::NAN.to_le_bytes());
    }
    let verdict = check_group(2, &group, F16, Summation::block_scaled(1), &inputs, &got).unwrap();
    let first = verdict.first.unwrap();
    assert_eq!(
        (first.group, first.row, first.column, verdict.offences),
        (2, 7, 5, 3)
    );
    assert!(first.got.is_nan());
    let set = SetVerdict {
        name: "demo".into(),
        groups: vec![verdict],
    };
    assert!(!set.passed());
    insta::assert_snapshot!(format!("{set}\n{verdict}"));
}

#[test]
fn a_nan_scale_must_show_in_its_row_and_column_only() {
    let group = Group { m: 5, n: 16, k: 64 };
    let clean = drawn(&group, 13, Data::FullRange);
    let mut spoilt = clean.clone();
    spoilt.sfa[2 * 4 + 1] = e4m3::NAN;
    let right = exact_output(0, &group, F16, &spoilt).unwrap();
    assert!(verdict(&group, &spoilt, &right).passed());
    let ignored = exact_output(0, &group, F16, &clean).unwrap();
    let verdict = verdict(&group, &spoilt, &ignored);
    assert_eq!((verdict.offences, verdict.first.unwrap().row), (16, 2));
    assert!(verdict.to_string().contains("a scale is NaN"), "{verdict}");
}

#[test]
fn data_that_do_not_fit_are_refused() {
    let group = Group { m: 2, n: 8, k: 64 };
    let inputs = drawn(&group, 14, Data::FullRange);
    let short = check_group(
        4,
        &group,
        F16,
        Summation::block_scaled(1),
        &inputs,
        &[0; 31],
    )
    .unwrap_err();
    let mut signed = inputs.clone();
    signed.sfb[5] |= 0x80;
    let signed = check_group(
        4,
        &group,
        F16,
        Summation::block_scaled(1),
        &signed,
        &[0; 32],
    )
    .unwrap_err();
    let taller = check_group(
        4,
        &Group { m: 3, ..group },
        F16,
        Summation::block_scaled(1),
        &inputs,
        &[0; 48],
    )
    .unwrap_err();
    let message = format!("{short}\n{signed}\n{taller}");
    insta::assert_snapshot!(message);
    assert!(draw::group(&Group { k: 32, ..group }, 0, 0, Data::FullRange).is_err());
}

#[test]
fn an_empty_group_passes_with_nothing_to_check() {
    let group = Group { m: 0, n: 8, k: 64 };
    let inputs = drawn(&group, 15, Data::FullRange);
    let verdict = verdict(&group, &inputs, &[]);
    assert!(verdict.passed() && verdict.elements == 0);
}

/// `cargo test --release --test verify full_size -- --ignored --nocapture`: the leaderboard, from seed to verdict.
#[test]
#[ignore = "a measurement: seconds at full size"]
fn full_size() {
    let start = std::time::Instant::now();
    for set in ShapeFile::read("shapes/leaderboard.toml").unwrap().sets {
        let mut groups = Vec::new();
        for (index, group) in set.groups.iter().enumerate() {
            let inputs = draw::group(group, index, 1, Data::FullRange).unwrap();
            let exact = exact_output(index, group, set.output, &inputs).unwrap();
            groups.push(
                check_group(
                    index,
                    group,
                    set.output,
                    Summation::block_scaled(1),
                    &inputs,
                    &exact,
                )
                .unwrap(),
            );
        }
        let verdict = SetVerdict {
            name: set.name,
            groups,
        };
        println!("{verdict} after {:.2} s", start.elapsed().as_secs_f64());
        assert!(verdict.passed());
    }
}
