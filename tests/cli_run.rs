//! `run`: what it computes, and what it says of files that it cannot take.

mod desk;

use std::fs;
use std::path::Path;

use desk::Desk;
use nvfp4gen::numerics::scales;
use nvfp4gen::problem::{Group, OutputType};
use nvfp4gen::verify::{Data, GroupInputs, Summation, check_group, draw, exact_output};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

const SHAPES: &str = "
[[set]]
name = \"two\"
m = [9, 0]
n = [8, 136]
k = [192, 64]

[[set]]
name = \"other\"
m = [1]
n = 8
k = 64
";

const GROUP: Group = Group { m: 9, n: 8, k: 192 };

type Tensors = Vec<(&'static str, Dtype, Vec<usize>, Vec<u8>)>;

fn inputs() -> GroupInputs {
    draw::group(&GROUP, 0, 11, Data::FullRange).unwrap()
}

/// Good operands of the set `two`, scales of A in plain and of B in blocked form.
fn operands() -> Tensors {
    let inputs = inputs();
    vec![
        ("0.a", Dtype::U8, vec![9, 96], inputs.a),
        ("0.b", Dtype::U8, vec![8, 96], inputs.b),
        ("0.sfa", Dtype::F8_E4M3, vec![9, 12], inputs.sfa),
        (
            "0.sfb_blocked",
            Dtype::U8,
            vec![3 * 512],
            inputs.sfb_blocked,
        ),
    ]
}

fn save(path: &Path, tensors: &Tensors) {
    let view = |(name, dtype, shape, bytes): &'_ (&'static str, Dtype, Vec<usize>, Vec<u8>)| {
        (
            *name,
            TensorView::new(*dtype, shape.clone(), bytes.clone().leak()).unwrap(),
        )
    };
    fs::write(
        path,
        safetensors::serialize(tensors.iter().map(view), None).unwrap(),
    )
    .unwrap();
}

const COMMAND: &str = "run shapes.toml --set two --input in.safetensors --output out.safetensors";

#[test]
fn it_computes_c() {
    let desk = Desk::new(SHAPES);
    save(&desk.path("in.safetensors"), &operands());
    let (code, line, message) = desk.run(COMMAND);
    assert_eq!(code, 0, "{message}");
    assert!(
        line.starts_with(
            "g2_m9-0_n8-136_k192-64_f16_dynamic: 2 groups computed on the emulated GPU in "
        ),
        "{line}"
    );
    let bytes = fs::read(desk.path("out.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let (c, empty) = (
        tensors.tensor("0.c").unwrap(),
        tensors.tensor("1.c").unwrap(),
    );
    assert_eq!(
        (c.dtype(), c.shape(), empty.shape()),
        (Dtype::F16, &[9, 8][..], &[0, 136][..])
    );
    let verdict = check_group(
        0,
        &GROUP,
        OutputType::F16,
        Summation::block_scaled(1),
        &inputs(),
        c.data(),
    )
    .unwrap();
    assert!(verdict.passed() && verdict.elements == 72, "{verdict}");
}

#[test]
fn both_forms_of_scales_and_all_schedules_agree() {
    let desk = Desk::new(SHAPES);
    let mut results = Vec::new();
    let mut tensors = operands();
    for form in 0..2 {
        if form == 1 {
            tensors[2] = (
                "0.sfa_blocked",
                Dtype::F8_E4M3,
                vec![3 * 512],
                inputs().sfa_blocked,
            );
            tensors[3] = ("0.sfb", Dtype::U8, vec![8, 12], inputs().sfb);
        }
        save(&desk.path("in.safetensors"), &tensors);
        for schedule in ["eager", "lazy", "random:5"] {
            let (code, text, message) =
                desk.run(&format!("{COMMAND} --schedule {schedule} --json"));
            assert_eq!(code, 0, "{message}");
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(
                (&json["schedule"], &json["groups"][1]["tensor"]),
                (&schedule.into(), &"1.c".into())
            );
            results.push(fs::read(desk.path("out.safetensors")).unwrap());
        }
    }
    assert!(results.iter().all(|result| *result == results[0]));
}

/// One element worked out by hand: all other rows and columns are zero.
#[test]
fn a_product_known_by_hand() {
    let desk = Desk::new(SHAPES);
    let mut tensors = operands();
    for tensor in &mut tensors {
        tensor.3.fill(0);
    }
    // Row 2 of A: element 17 is 6 (code 7), which is the high nibble of byte 8; its scale is 1.5 (0x3c).
    tensors[0].3[2 * 96 + 8] = 0x70;
    tensors[2].3[2 * 12 + 1] = 0x3c;
    // Row 5 of B: element 17 is -0.5 (code 9); its scale is 448 (0x7e).
    tensors[1].3[5 * 96 + 8] = 0x90;
    tensors[3].3[scales::blocked_offset(5, 1, 12)] = 0x7e;
    save(&desk.path("in.safetensors"), &tensors);
    assert_eq!(desk.run(COMMAND).0, 0);
    let bytes = fs::read(desk.path("out.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let c: Vec<f32> = (tensors.tensor("0.c").unwrap().data().chunks(2))
        .map(|pair| half::f16::from_le_bytes([pair[0], pair[1]]).to_f32())
        .collect();
    let mut expected = vec![0.0; 72];
    expected[2 * 8 + 5] = 6.0 * 1.5 * -0.5 * 448.0;
    assert_eq!(c, expected);
}

/// Runs with `change` made to good operands, and gives what is said of them.
fn complaints(change: impl Fn(&mut Tensors)) -> String {
    let desk = Desk::new(SHAPES);
    let mut tensors = operands();
    change(&mut tensors);
    save(&desk.path("in.safetensors"), &tensors);
    let (code, out, message) = desk.run(COMMAND);
    assert_eq!((code, out.as_str()), (2, ""), "{message}");
    assert!(!desk.path("out.safetensors").exists(), "nothing is written");
    message
}

#[test]
fn every_bad_tensor_is_named_with_its_remedy() {
    let all = complaints(|tensors| {
        tensors[0].1 = Dtype::I8;
        (tensors[1].2, tensors[1].3) = (vec![8, 95], vec![0; 8 * 95]);
        tensors[2].3[12 + 4] = 0x80;
        tensors[2].3[24] = 0xff;
        tensors[3].0 = "0.sbf_blocked";
        tensors.push(("2.a", Dtype::U8, vec![1], vec![0]));
    });
    insta::assert_snapshot!(all);
}

#[test]
fn scales_must_come_in_one_form() {
    let inputs = inputs();
    let message =
        complaints(|tensors| tensors.push(("0.sfb", Dtype::U8, vec![8, 12], inputs.sfb.clone())));
    assert!(
        message.contains("both `0.sfb` and `0.sfb_blocked` are given; give one"),
        "{message}"
    );
}

#[test]
fn signs_count_inside_the_logical_range_only() {
    let signed = complaints(|tensors| tensors[3].3[scales::blocked_offset(7, 11, 12)] = 0xfe);
    assert!(
        signed.contains(
            "`0.sfb_blocked` has its sign bit set in 1 places, the first at row 7, column 11 (0xfe)"
        ),
        "{signed}"
    );
    let padding = operands()[3].3[scales::blocked_offset(8, 1, 12)];
    assert!(
        padding & 0x7f == 0x7f,
        "the padding of good operands is NaN, signed or not: {padding:#x}"
    );
}

#[test]
fn operands_of_empty_groups_are_checked_if_given() {
    let message = complaints(|tensors| tensors.push(("1.a", Dtype::U8, vec![1, 32], vec![0; 32])));
    assert!(
        message.contains("`1.a` has shape [1, 32]; this set needs [0, 32]"),
        "{message}"
    );
}

#[test]
fn files_that_are_none() {
    let desk = Desk::new(SHAPES);
    let (code, _, message) = desk.run(COMMAND);
    assert_eq!(code, 2);
    assert!(
        message.contains("cannot read in.safetensors: No such file"),
        "{message}"
    );
    save(&desk.path("in.safetensors"), &operands());
    let whole = fs::read(desk.path("in.safetensors")).unwrap();
    for length in [0, 7, 40, whole.len() - 1] {
        fs::write(desk.path("in.safetensors"), &whole[..length]).unwrap();
        let (code, _, message) = desk.run(COMMAND);
        assert_eq!(code, 2);
        assert!(
            message.contains("in.safetensors: not a safetensors file, or a damaged one"),
            "{message}"
        );
    }
}

#[test]
fn bad_use() {
    let desk = Desk::new(SHAPES);
    save(&desk.path("in.safetensors"), &operands());
    for (line, words) in [
        (
            COMMAND.replace("two", "three"),
            "no set is called `three`; there are: two, other",
        ),
        (
            COMMAND.replace("out.safetensors", "nowhere/out.safetensors"),
            "cannot write nowhere/out.safetensors",
        ),
        (
            format!("{COMMAND} --schedule sometimes"),
            "expected eager, lazy or random:SEED",
        ),
        (COMMAND.replace("--set two", ""), "--set <NAME>"),
    ] {
        let (code, _, message) = desk.run(&line);
        assert_eq!(code, 2, "{line}");
        assert!(message.contains(words), "{line}: {message}");
    }
}

#[test]
fn an_output_is_replaced_whole() {
    let desk = Desk::new(SHAPES);
    fs::write(desk.path("out.safetensors"), "old").unwrap();
    save(&desk.path("in.safetensors"), &operands());
    assert_eq!(desk.run(COMMAND).0, 0);
    let bytes = fs::read(desk.path("out.safetensors")).unwrap();
    let perfect = exact_output(0, &GROUP, OutputType::F16, &inputs()).unwrap();
    assert_eq!(
        SafeTensors::deserialize(&bytes)
            .unwrap()
            .tensor("0.c")
            .unwrap()
            .data()
            .len(),
        perfect.len()
    );
    let names: Vec<_> = fs::read_dir(desk.path("."))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 3, "no temporary file stays behind: {names:?}");
}
