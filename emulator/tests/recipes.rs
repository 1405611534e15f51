//! `ptx-emulator run`: what it prints and with which code it exits.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::tensor::{Dtype, TensorView};
use tempfile::TempDir;

/// out[i % 4] = x[i % 4] + step for each thread; BODY may do more.
const KERNEL: &str = ".version 8.7
.target sm_100a
.address_size 64
.visible .entry add(.param .u64 x, .param .u64 out, .param .f32 step) {
    .reg .b32 %r<4>;
    .reg .b64 %rd<4>;
    ld.param.u64 %rd0, [x];
    ld.param.u64 %rd1, [out];
    ld.param.f32 %r3, [step];
    mov.u32 %r0, %tid.x;
    and.b32 %r0, %r0, 3;
    mul.wide.u32 %rd2, %r0, 4;
    add.u64 %rd0, %rd0, %rd2;
    add.u64 %rd1, %rd1, %rd2;
    ld.global.f32 %r1, [%rd0];
    add.f32 %r1, %r1, %r3;
    BODY
    st.global.f32 [%rd1], %r1;
    ret;
}
";

const RECIPE: &str = r#"{
    "entry": "add", "ptx": "add.ptx", "target": "sm_100a",
    "launch": {"grid": [1, 1, 1], "block": [4, 1, 1], "cluster": [1, 1, 1], "dynamic_smem_bytes": 0},
    "params": [
        {"kind": "pointer", "buffer": "x", "offset_bytes": 0},
        {"kind": "pointer", "buffer": "out", "offset_bytes": 0},
        {"kind": "scalar", "type": "f32", "value": 0.5}
    ],
    "buffers": {
        "x": {"dtype": "f32", "shape": [4], "role": "in", "initial": "x"},
        "out": {"dtype": "f32", "shape": [4], "role": "out", "initial": "out_init"}
    },
    "runs": [{"data": "add.safetensors", "compare": [
        {"output": "out", "expected": "out_expected", "mode": "bitwise"},
        {"output": "out", "expected": "out_expected", "mode": "allclose", "atol": 0.0, "rtol": 1e-6},
        {"output": "out", "expected": "out_expected", "mode": "tol_times_absum", "tol": 1e-6, "absum": "out_absum"}
    ]}]
}"#;

/// A recipe in a folder of its own.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new(body: &str, recipe: &str) -> Place {
        let place = Place {
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::write(place.path("add.ptx"), KERNEL.replace("BODY", body)).unwrap();
        std::fs::write(place.path("add.json"), recipe).unwrap();
        let bytes = |v: [f32; 4]| v.map(f32::to_le_bytes).concat();
        let wide = |v: [f64; 4]| v.map(f64::to_le_bytes).concat();
        let tensors = [
            ("x", Dtype::F32, bytes([1.0, 2.0, 3.0, 4.0])),
            ("out_init", Dtype::F32, bytes([f32::NAN; 4])),
            ("out_expected", Dtype::F32, bytes([1.5, 2.5, 3.5, 4.5])),
            ("out_absum", Dtype::F64, wide([1.5, 2.5, 3.5, 4.5])),
        ];
        let views = tensors
            .iter()
            .map(|(name, dtype, data)| (name, TensorView::new(*dtype, vec![4], data).unwrap()));
        let file = safetensors::serialize(views, None).unwrap();
        std::fs::write(place.path("add.safetensors"), file).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, options: &[&str]) -> Output {
        run(&self.path("add.json"), options)
    }
}

fn run(recipe: &Path, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ptx-emulator"))
        .arg("run")
        .arg(recipe)
        .args(options)
        .output()
        .unwrap()
}

/// The exit code and everything that was printed.
fn said(output: &Output) -> (i32, String) {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(text).unwrap(),
    )
}

#[test]
fn a_right_kernel_compares_under_every_schedule() {
    let place = Place::new("", RECIPE);
    let (code, text) = said(&place.run(&[]));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("22 of 22 schedules"), "{text}");
    let (code, text) = said(&place.run(&["--schedules", "3", "--seed", "7", "--json"]));
    assert_eq!(code, 0, "{text}");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let runs = json["recipes"][0]["runs"].as_array().unwrap();
    let schedules: Vec<_> = runs
        .iter()
        .map(|r| r["schedule"].as_str().unwrap())
        .collect();
    assert_eq!(
        schedules,
        ["eager", "lazy", "random:7", "random:8", "random:9"]
    );
    assert_eq!(runs[0]["compared"].as_array().unwrap().len(), 3);
}

#[test]
fn wrong_numbers_name_the_element_and_exit_with_1() {
    let place = Place::new("add.f32 %r1, %r1, %r3;", RECIPE);
    let (code, text) = said(&place.run(&["--schedules", "1"]));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("--schedule random:0: out: "), "{text}");
    assert!(text.contains("element 0 is 2, expected 1.5"), "{text}");
}

/// Warp 1 puts the results into shared memory and leaves; warp 0 takes them without waiting.
const RACE: &str = ".reg .pred %p0;
    .shared .f32 cells[4];
    cvt.u32.u64 %r3, %rd2;
    mov.u32 %r2, cells;
    add.u32 %r2, %r2, %r3;
    mov.u32 %r0, %warpid;
    setp.eq.u32 %p0, %r0, 1;
    @%p0 st.shared.f32 [%r2], %r1;
    @%p0 exit;
    ld.shared.f32 %r1, [%r2];";

#[test]
fn a_failing_seed_is_printed_and_replays() {
    let recipe = RECIPE.replace("\"block\": [4, 1, 1]", "\"block\": [36, 1, 1]");
    let place = Place::new(RACE, &recipe);
    let (code, text) = said(&place.run(&["--schedules", "30"]));
    assert_ne!(code, 0, "{text}");
    let failing = text.lines().find(|l| l.contains("--schedule random:"));
    let failing = failing.unwrap_or_else(|| panic!("no seed fails:\n{text}"));
    let seed = failing
        .split_whitespace()
        .find(|w| w.starts_with("random:"));
    let seed = seed.unwrap().trim_end_matches(':');
    let (_, again) = said(&place.run(&["--schedule", seed]));
    assert!(again.contains(failing), "{failing}\n{again}");
}

#[test]
fn a_fault_names_line_and_thread_and_exits_with_3() {
    let place = Place::new("ld.global.f32 %r1, [%rd0+16];", RECIPE);
    let (code, text) = said(&place.run(&["--schedule", "eager"]));
    assert_eq!(code, 3, "{text}");
    assert!(
        text.contains("line 17, CTA (0,0,0), warp 0, lane 0"),
        "{text}"
    );
    let place = Place::new("add.f32 %r1 %r1;", RECIPE);
    assert_eq!(said(&place.run(&[])).0, 3);
}

#[test]
fn what_the_emulator_lacks_exits_with_4() {
    let place = Place::new(
        "tex.1d.v4.f32.s32 {%r0, %r1, %r2, %r3}, [x, {%r1}];",
        RECIPE,
    );
    let (code, text) = said(&place.run(&[]));
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("add.ptx:17"), "{text}");
}

#[test]
fn mistakes_in_a_recipe_name_file_key_and_remedy() {
    let mistakes = [
        ("\"entry\": \"add\",", "", "`entry` is missing"),
        (
            "\"entry\": \"add\"",
            "\"entry\": \"sub\"",
            "`entry` names `sub`, the module has add",
        ),
        (
            "[1, 1, 1], \"block\"",
            "[1, -1], \"block\"",
            "`launch.grid[1]` must be an integer",
        ),
        (
            "\"buffer\": \"x\"",
            "\"buffer\": \"z\"",
            "`params[0].buffer` names `z`",
        ),
        (
            "\"kind\": \"scalar\"",
            "\"kind\": \"scaler\"",
            "known are tensormap, pointer, scalar",
        ),
        (
            "\"type\": \"f32\"",
            "\"type\": \"f64\"",
            "`params[2]` has 8 bytes, `step` has 4",
        ),
        (
            "\"mode\": \"bitwise\"",
            "\"mode\": \"exact\"",
            "`runs[0].compare[0].mode` is `exact`",
        ),
        (
            "\"output\": \"out\"",
            "\"output\": \"y\"",
            "`runs[0].compare[0]` compares `y`",
        ),
        (
            "\"initial\": \"x\"",
            "\"initial\": \"xx\"",
            "`xx` is not in the file, which has out_absum",
        ),
        (
            "add.safetensors",
            "sub.safetensors",
            "sub.safetensors: No such file",
        ),
        (
            "\"absum\": \"out_absum\"",
            "\"absum\": 3",
            "`runs[0].compare[2].absum` must be a string",
        ),
        ("]}]\n}", "]}]", "is not JSON"),
    ];
    for (right, wrong, message) in mistakes {
        let recipe = RECIPE.replacen(right, wrong, 1);
        assert_ne!(recipe, RECIPE, "{right}");
        let (code, text) = said(&Place::new("", &recipe).run(&["--schedule", "lazy"]));
        assert!(
            code == 2 && text.contains(message),
            "{right}: {code} {text}"
        );
    }
}

#[test]
fn bad_arguments_exit_with_2() {
    let place = Place::new("", RECIPE);
    assert_eq!(said(&place.run(&["--schedule", "random:x"])).0, 2);
    assert_eq!(said(&place.run(&["--schedule", "sometimes"])).0, 2);
    let (code, text) = said(&run(Path::new("absent.json"), &[]));
    assert!(code == 2 && text.contains("absent.json"), "{text}");
}
