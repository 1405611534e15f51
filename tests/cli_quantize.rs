//! `quantize`: what becomes of a safetensors file.

mod desk;

use std::fs;
use std::path::Path;

use desk::Desk;
use nvfp4gen::numerics::quantize::dequantize;
use nvfp4gen::numerics::scales;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

type Tensor = (&'static str, Dtype, Vec<usize>, Vec<u8>);

fn save(path: &Path, tensors: &[Tensor]) {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (
            *name,
            TensorView::new(*dtype, shape.clone(), bytes).unwrap(),
        )
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn matrix() -> Vec<f32> {
    (0..3 * 32)
        .map(|i| ((i * 37 % 101) as f32 - 50.0) / 7.0)
        .collect()
}

fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

#[test]
fn matrices_are_quantised_and_the_rest_is_copied() {
    let desk = Desk::new("");
    let halves = matrix()
        .iter()
        .flat_map(|v| half::bf16::from_f32(*v).to_le_bytes())
        .collect();
    save(
        &desk.path("in.safetensors"),
        &[
            ("w", Dtype::F32, vec![3, 32], f32_bytes(&matrix())),
            ("h", Dtype::BF16, vec![3, 32], halves),
            ("bias", Dtype::F32, vec![3], f32_bytes(&[1.0, 2.0, 3.0])),
            ("odd", Dtype::F32, vec![2, 3], f32_bytes(&[0.0; 6])),
        ],
    );
    let (code, out, err) = desk.run("quantize in.safetensors out.safetensors --blocked");
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let bytes = fs::read(desk.path("out.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut names = tensors.names();
    names.sort_unstable();
    let expected = [
        "bias",
        "h",
        "h_scale",
        "h_scale_2",
        "h_scale_blocked",
        "odd",
        "w",
        "w_scale",
        "w_scale_2",
        "w_scale_blocked",
    ];
    assert_eq!(names, expected);
    assert_eq!(
        tensors.tensor("bias").unwrap().data(),
        f32_bytes(&[1.0, 2.0, 3.0])
    );
    for name in ["w", "h"] {
        let get = |suffix: &str| tensors.tensor(&format!("{name}{suffix}")).unwrap();
        let (codes, plain) = (get(""), get("_scale"));
        assert_eq!((codes.dtype(), codes.shape()), (Dtype::U8, &[3, 16][..]));
        assert_eq!(
            (plain.dtype(), plain.shape()),
            (Dtype::F8_E4M3, &[3, 2][..])
        );
        assert_eq!(
            scales::to_plain(get("_scale_blocked").data(), 3, 2).unwrap(),
            plain.data()
        );
        let scale = f32::from_le_bytes(get("_scale_2").data().try_into().unwrap());
        assert_eq!(
            scale,
            if name == "w" {
                50.0 / 7.0 / 2688.0
            } else {
                7.15625 / 2688.0
            }
        );
        let back = dequantize(3, 32, codes.data(), plain.data(), scale).unwrap();
        for (value, back) in matrix().iter().zip(back) {
            assert!(
                (value - back).abs() <= 50.0 / 7.0 / 6.0 + 0.1,
                "{value} became {back}"
            );
        }
    }
}

#[test]
fn one_tensor_and_a_scale_of_ones_own() {
    let desk = Desk::new("");
    let tensors = [
        ("w", Dtype::F32, vec![3, 32], f32_bytes(&matrix())),
        ("v", Dtype::F32, vec![3, 32], f32_bytes(&matrix())),
    ];
    save(&desk.path("in.safetensors"), &tensors);
    let (code, _, err) =
        desk.run("quantize in.safetensors out.safetensors --tensor v --tensor-scale 0.5");
    assert_eq!((code, err.as_str()), (0, ""));
    let bytes = fs::read(desk.path("out.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("w").unwrap().dtype(), Dtype::F32);
    assert_eq!(
        tensors.tensor("v_scale_2").unwrap().data(),
        0.5f32.to_le_bytes()
    );
}

#[test]
fn refusals_leave_no_file() {
    let desk = Desk::new("");
    let mut bad = matrix();
    bad[40] = f32::NAN;
    let tensors = [
        ("w", Dtype::F32, vec![3, 32], f32_bytes(&bad)),
        ("good", Dtype::F32, vec![3, 32], f32_bytes(&matrix())),
        ("flat", Dtype::F32, vec![96], f32_bytes(&matrix())),
    ];
    save(&desk.path("in.safetensors"), &tensors);
    fs::write(desk.path("junk"), "junk").unwrap();
    for (line, message) in [
        (
            "in.safetensors",
            "`w`: row 1, column 8 is not a finite number",
        ),
        (
            "in.safetensors --tensor flat",
            "`flat` is F32 [96]; it must be",
        ),
        (
            "in.safetensors --tensor x",
            "no tensor is called `x`; there are: flat, good, w",
        ),
        (
            "in.safetensors --tensor good --tensor-scale 0",
            "the tensor scale 0 is not",
        ),
        ("in.safetensors --tensor-scale big", "`auto`, or a number"),
        ("junk", "not a safetensors file"),
        ("nowhere", "cannot read nowhere"),
    ] {
        let (file, options) = line.split_once(' ').unwrap_or((line, ""));
        let (code, _, err) = desk.run(&format!("quantize {file} out.safetensors {options}"));
        assert_eq!(code, 2, "{err}");
        assert!(err.contains(message), "{err}");
        assert!(!desk.path("out.safetensors").exists());
    }
}
