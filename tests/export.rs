//! Exported submissions: what they compute, with both hosts over the emulated driver, and what they say of bad tensors.

mod desk;
mod gpu;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use desk::Desk;
use nvfp4gen::artifact::Kernel;
use nvfp4gen::export::{self, Options};
use nvfp4gen::plan::target::SM_100A;
use nvfp4gen::problem::{Set, ShapeFile};
use nvfp4gen::trial;
use nvfp4gen::verify::{Data, GroupInputs};

const SMALL: &str = "
output = \"f16\"
weights = \"static\"

[[set]]
name = \"small\"
m = [9, 0]
n = 8
k = [192, 64]

[[set]]
name = \"T1\"
m = [96, 128]
n = [128, 256]
k = [256, 512]
";

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs a script of `tests/export` with the emulated driver.
fn python(script: &str, arguments: &[&str], environment: &[(&str, &Path)]) -> String {
    let mut command = Command::new("python3");
    command
        .arg(here("tests/export").join(script))
        .args(arguments);
    command.env("LD_LIBRARY_PATH", gpu::driver_folder());
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.envs(environment.iter().copied());
    let output = command.output().expect("python3");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{script}: {out}\n{err}");
    out
}

fn sets(text: &str) -> Vec<Set> {
    ShapeFile::parse("shapes.toml", text).unwrap().sets
}

fn kernels(sets: &[Set]) -> Vec<Kernel> {
    sets.iter().map(|set| gpu::compile(set, SM_100A)).collect()
}

/// Draws the operands of sets into files, has a script compute C, and judges it.
fn compute(submission: &Path, sets: &[Set], environment: &[(&str, &Path)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let inputs: Vec<_> = sets.iter().map(|set| draw(folder.path(), set)).collect();
    let mut arguments = vec![
        submission.to_str().unwrap(),
        folder.path().to_str().unwrap(),
    ];
    arguments.extend(sets.iter().map(|set| set.name.as_str()));
    let out = python("numbers.py", &arguments, environment);
    for (set, inputs) in sets.iter().zip(&inputs) {
        let read = |group| fs::read(folder.path().join(&set.name).join(format!("{group}.c")));
        let outputs: Vec<_> = (0..set.groups.len())
            .map(|group| read(group).unwrap())
            .collect();
        let verdict = trial::judge(&gpu::compile(set, SM_100A), set, inputs, &outputs).unwrap();
        assert!(verdict.passed(), "{verdict}");
    }
    out
}

fn draw(folder: &Path, set: &Set) -> Vec<GroupInputs> {
    let home = folder.join(&set.name);
    fs::create_dir(&home).unwrap();
    let inputs = trial::inputs(set, 5, Data::FullRange).unwrap();
    for (group, inputs) in inputs.iter().enumerate() {
        for (name, bytes) in [
            ("a", &inputs.a),
            ("b", &inputs.b),
            ("sfa", &inputs.sfa_blocked),
            ("sfb", &inputs.sfb_blocked),
        ] {
            fs::write(home.join(format!("{group}.{name}")), bytes).unwrap();
        }
    }
    inputs
}

/// The whole way: shape files, the command, Python without torch, the emulated driver, the exact reference.
#[test]
fn the_contest_sets_with_the_ctypes_host() {
    let desk = Desk::new("");
    let shapes = here("shapes/contest-tests.toml");
    let line = format!("export submission {} -o submission.py", shapes.display());
    let (code, out, err) = desk.run(&line);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(
        out.starts_with("submission.py: custom_kernel for 10 sets, "),
        "{out}"
    );
    let sets = ShapeFile::read(shapes).unwrap().sets;
    let out = compute(&desk.path("submission.py"), &sets, &[]);
    assert_eq!(out, "hosts: _ctypes_host.<locals>.launch\n");
}

/// A problem of the leaderboard whose operands have several tensor maps, of several element types.
#[test]
fn a_leaderboard_set() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("submission.py");
    let shapes = ShapeFile::read(here("shapes/leaderboard.toml")).unwrap();
    let text = export::submission("sm_100a", &kernels(&shapes.sets), &Options::default()).unwrap();
    fs::write(&path, text).unwrap();
    compute(&path, &[shapes.get("P4").unwrap().clone()], &[]);
    let null = [("PTXEMU_NULL", Path::new("1"))];
    python("loads.py", &[path.to_str().unwrap()], &null);
}

/// The C++ host, compiled against a header that stands in for torch's.
#[test]
fn the_cpp_host() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("submission.py");
    let sets = sets(SMALL);
    let text = export::submission("sm_100a", &kernels(&sets), &Options::default()).unwrap();
    fs::write(&path, text).unwrap();
    let stand_in = here("tests/export/stand_in");
    let environment = [
        ("PYTHONPATH", stand_in.as_path()),
        ("STAND_IN_BUILD", folder.path()),
        ("NVFP4GEN_HOST", Path::new("cpp")),
    ];
    let out = compute(&path, &sets, &environment);
    assert_eq!(out, "hosts: _cpp_host.<locals>.<lambda>\n");
}

#[test]
fn rules_and_messages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("submission.py");
    let text = export::submission("sm_100a", &kernels(&sets(SMALL)), &Options::default()).unwrap();
    fs::write(&path, text).unwrap();
    python("errors.py", &[path.to_str().unwrap()], &[]);
}

/// A driver that does not take the machine code is given the PTX: the emulated one takes none.
#[test]
fn machine_code_that_is_refused_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("submission.py");
    let sets = sets(SMALL);
    let mut kernels = kernels(&sets);
    let options = Options {
        cubin: true,
        ..Options::default()
    };
    let error = export::submission("sm_100a", &kernels, &options).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("set `small`: it has no machine code"),
        "{error}"
    );
    for kernel in &mut kernels {
        let elf = [b"\x7fELF\x02\x01\x01\0".as_slice(), &[0; 56]].concat();
        kernel.cubin = Some(elf);
    }
    fs::write(
        &path,
        export::submission("sm_100a", &kernels, &options).unwrap(),
    )
    .unwrap();
    compute(&path, &sets, &[]);
}

#[test]
fn the_same_kernels_give_the_same_bytes() {
    let kernels = kernels(&sets(SMALL));
    let once = || export::submission("sm_100a", &kernels, &Options::default()).unwrap();
    assert_eq!(once(), once());
}

#[test]
fn what_cannot_be_exported() {
    let desk = Desk::new(SMALL);
    let refuse = |shapes: &str, options: &str| {
        fs::write(desk.path("shapes.toml"), shapes).unwrap();
        let (code, _, message) =
            desk.run(&format!("export submission shapes.toml -o s.py {options}"));
        assert_eq!(code, 2, "{message}");
        assert!(!desk.path("s.py").exists());
        message
    };
    let set = |name: &str, weights: &str| {
        format!(
            "[[set]]\nname = {name:?}\nm = [8]\nn = 8\nk = 64\nweights = {weights:?}\noutput = \"f16\"\n"
        )
    };
    let message = refuse(&set("UpSTREAM", "static"), "");
    assert!(
        message.contains("in line 4") && message.contains("rename the set"),
        "{message}"
    );
    let message = refuse(&(set("one", "static") + &set("two", "dynamic")), "");
    assert!(
        message.contains("sets `one` and `two` have the same sizes"),
        "{message}"
    );
    let many = format!(
        "[[set]]\nname = \"many\"\nm = {:?}\nn = 8\nk = 64\noutput = \"f16\"\n",
        [8; 200]
    );
    let message = refuse(&many, "");
    assert!(
        message.contains("the addresses of 200 groups do not fit"),
        "{message}"
    );
}
