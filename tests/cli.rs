//! The command as users see it: tables, messages, exit codes, files.

mod desk;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use desk::{Desk, texts};
use nvfp4gen::assemble::Ptxas;

const SHAPES: &str = "
[[set]]
name = \"small\"
m = [40, 7]
n = 136
k = 192

[[set]]
name = \"empty\"
m = [0]
n = 128
k = 256
";

/// Every file below a folder, with its bytes.
fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(tree(&path));
        } else {
            files.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn build_writes_kernels_and_a_manifest() {
    let desk = Desk::new(SHAPES);
    let (code, table, progress) = desk.run_without_ptxas("build shapes.toml");
    assert_eq!(code, 0, "{progress}");
    assert!(
        table.starts_with("set    groups  tiles  CTAs  cluster  stages"),
        "{table}"
    );
    assert!(
        table.contains("generated/sm_100a holds them as <key>.ptx, with manifest.toml."),
        "{table}"
    );
    assert!(table.contains("2 kernels, "), "{table}");
    assert!(progress.contains("[2/2] build "), "{progress}");
    let files: Vec<String> = tree(&desk.path("generated/sm_100a"))
        .iter()
        .map(|(path, _)| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        files,
        [
            "g1_m0_n128_k256_f16_dynamic.ptx",
            "g2_m40-7_n136_k192_f16_dynamic.ptx",
            "manifest.toml"
        ]
    );
}

#[test]
fn build_shows_registers_and_spills() {
    let desk = Desk::new(SHAPES);
    let ptxas = Ptxas::find().unwrap_or_else(|error| panic!("{error} (`scripts/test` does so)"));
    let mut command = desk.command("build shapes.toml --json");
    let (code, text, _) = texts(
        command
            .env("NVFP4GEN_PTXAS", ptxas.path())
            .output()
            .unwrap(),
    );
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, 0);
    for kernel in json["kernels"].as_array().unwrap() {
        let registers = kernel["assembled"]["registers"]
            .as_u64()
            .expect("ptxas: run scripts/fetch-tools");
        assert!((16..=255).contains(&registers));
        for nothing in ["spill_stores", "spill_loads", "local_bytes"] {
            assert_eq!(kernel["assembled"][nothing], 0, "{kernel}");
        }
    }
}

#[test]
fn build_writes_machine_code_that_no_check_looks_at() {
    let desk = Desk::new(SHAPES);
    let (_, table, _) = desk.run("build shapes.toml");
    assert!(
        table.contains("holds them as <key>.ptx and <key>.cubin, with manifest.toml."),
        "{table}"
    );
    let files = || tree(&desk.path("generated/sm_100a"));
    let built = files();
    let cubins = (built.iter()).filter(|(path, _)| path.extension().is_some_and(|e| e == "cubin"));
    for (path, bytes) in cubins.clone() {
        assert_eq!(bytes[..4], *b"\x7fELF", "{}", path.display());
    }
    assert_eq!((cubins.count(), built.len()), (2, 6), "and their list");
    let check = || {
        let (code, list, _) = desk.run("build shapes.toml --check");
        assert_eq!(code, i32::from(!list.is_empty()));
        list
    };
    assert_eq!(check(), "");
    // Without ptxas the text is the same, so the library stays as it is.
    assert_eq!(desk.run_without_ptxas("build shapes.toml").0, 0);
    assert_eq!(files(), built);
    assert_eq!(desk.run_without_ptxas("list").0, 0);
    // Version control keeps the text alone; the next build completes it.
    for name in ["cubins.toml", "g1_m0_n128_k256_f16_dynamic.cubin"] {
        fs::remove_file(desk.path("generated/sm_100a").join(name)).unwrap();
        if name == "cubins.toml" {
            let list = check();
            assert!(
                list.starts_with("foreign"),
                "no list says whose it is: {list}"
            );
            fs::remove_file(desk.path("generated/sm_100a/g2_m40-7_n136_k192_f16_dynamic.cubin"))
                .unwrap();
        }
    }
    assert_eq!(check(), "");
    assert_eq!(desk.run("build shapes.toml").0, 0);
    assert_eq!(files(), built);
    // Other text: machine code of the old goes, also where there is none of the new.
    fs::write(
        desk.path("shapes.toml"),
        SHAPES.replace("\"small\"", "\"tiny\""),
    )
    .unwrap();
    assert_eq!(desk.run_without_ptxas("build shapes.toml").0, 0);
    assert_eq!(files().len(), 3);
}

#[test]
fn build_works_without_ptxas_and_says_how_to_get_it() {
    let desk = Desk::new(SHAPES);
    // A copy has no repository with a .tools/ above it. `cp` and not `fs::copy`: while this process has a program
    // open for writing, no other test can start it.
    let binary = desk.path("nvfp4gen");
    let copied = Command::new("cp")
        .args([env!("CARGO_BIN_EXE_nvfp4gen").as_ref(), binary.as_os_str()])
        .status();
    assert!(copied.unwrap().success());
    let mut command = Command::new(binary);
    command
        .args(["build", "shapes.toml"])
        .current_dir(desk.path("."));
    for variable in ["NVFP4GEN_PTXAS", "PATH", "CUDA_HOME"] {
        command.env_remove(variable);
    }
    let (code, table, _) = texts(command.output().unwrap());
    assert_eq!(code, 0);
    let last = table.lines().last().unwrap();
    assert_eq!(
        last,
        "registers and spills are not known: ptxas not found; `scripts/fetch-tools` fetches it into .tools/, or set \
         NVFP4GEN_PTXAS to its path."
    );
}

#[test]
fn build_repeats_byte_for_byte() {
    let desk = Desk::new(SHAPES);
    assert_eq!(desk.run("build shapes.toml --out one --jobs 1").0, 0);
    assert_eq!(desk.run("build shapes.toml --out two --jobs 3").0, 0);
    let bytes = |folder| {
        tree(&desk.path(folder))
            .into_iter()
            .map(|(_, bytes)| bytes)
            .collect::<Vec<_>>()
    };
    assert_eq!(bytes("one"), bytes("two"));
}

#[test]
fn build_check_lists_stale_files() {
    let desk = Desk::new(SHAPES);
    let (code, list, message) = desk.run("build shapes.toml --check");
    assert_eq!((code, list.lines().count()), (1, 3));
    assert!(
        message.contains("3 files are not what the shape files give"),
        "{message}"
    );
    assert!(!desk.path("generated").exists(), "--check writes nothing");

    desk.run("build shapes.toml");
    let (code, list, _) = desk.run("build shapes.toml --check");
    assert_eq!((code, list.as_str()), (0, ""));

    fs::write(
        desk.path("generated/sm_100a/g1_m0_n128_k256_f16_dynamic.ptx"),
        "// edited",
    )
    .unwrap();
    let before = tree(&desk.path("generated"));
    let (code, list, _) = desk.run("build shapes.toml --check");
    assert_eq!(
        (code, list.as_str()),
        (
            1,
            "changed     generated/sm_100a/g1_m0_n128_k256_f16_dynamic.ptx\n"
        )
    );
    assert_eq!(tree(&desk.path("generated")), before);
}

#[test]
fn build_for_two_targets() {
    let desk = Desk::new(SHAPES);
    let (code, table, _) = desk
        .run_without_ptxas("build shapes.toml --target sm_103a --target sm_100a --target sm_103a");
    assert_eq!(code, 0);
    assert!(table.contains("4 kernels"), "{table}");
    assert_eq!(tree(&desk.path("generated/sm_103a")).len(), 3);
    let (_, list, _) = desk.run("list");
    assert_eq!(list.matches("sm_103a").count(), 2);
}

#[test]
fn build_writes_nothing_if_a_set_fails() {
    let desk = Desk::new(SHAPES);
    fs::write(
        desk.path("more.toml"),
        "[[set]]\nname = \"huge\"\nm = [8_000_000]\nn = 8\nk = 65536\n",
    )
    .unwrap();
    let (code, _, message) = desk.run("build shapes.toml more.toml");
    assert_eq!(code, 2, "{message}");
    assert!(message.contains("set `huge`: "), "{message}");
    assert!(!desk.path("generated").exists());
}

#[test]
fn build_names_a_broken_assembler() {
    let desk = Desk::new(SHAPES);
    let (code, _, message) = texts(
        desk.command("build shapes.toml")
            .env("NVFP4GEN_PTXAS", "/bin/false")
            .output()
            .unwrap(),
    );
    assert_eq!(code, 1);
    assert!(
        message
            .contains("g2_m40-7_n136_k192_f16_dynamic: /bin/false failed without naming an error"),
        "{message}"
    );
    assert!(!desk.path("generated").exists());
    let (code, table, _) = texts(
        desk.command("build shapes.toml")
            .env("NVFP4GEN_PTXAS", "/nowhere/ptxas")
            .output()
            .unwrap(),
    );
    assert_eq!(code, 0);
    assert!(
        table.contains("NVFP4GEN_PTXAS is /nowhere/ptxas, which is not an executable file"),
        "{table}"
    );
}

#[test]
fn build_leaves_foreign_directories_alone() {
    let desk = Desk::new(SHAPES);
    fs::create_dir_all(desk.path("mine/sm_100a")).unwrap();
    fs::write(desk.path("mine/sm_100a/thesis.tex"), "years").unwrap();
    let (code, _, message) = desk.run("build shapes.toml --out mine");
    assert_eq!(code, 2);
    assert!(
        message.contains("mine/sm_100a: holds `thesis.tex`, which nvfp4gen did not write"),
        "{message}"
    );
    assert_eq!(tree(&desk.path("mine")).len(), 1);
}

#[test]
fn the_same_kernel_twice_is_refused() {
    let desk = Desk::new(SHAPES);
    fs::copy(desk.path("shapes.toml"), desk.path("again.toml")).unwrap();
    let (code, _, message) = desk.run("build shapes.toml again.toml");
    assert_eq!(code, 2);
    let expected = "set `small` of again.toml and set `small` of shapes.toml have the same key \
                    g2_m40-7_n136_k192_f16_dynamic; remove one";
    assert!(message.contains(expected), "{message}");
}

#[test]
fn all_bad_files_are_reported_at_once() {
    let desk = Desk::new(SHAPES);
    fs::write(
        desk.path("bad.toml"),
        "[[set]]\nname = \"odd\"\nm = [1]\nn = 9\nk = 64\n",
    )
    .unwrap();
    let (code, _, message) = desk.run("build nowhere.toml bad.toml");
    assert_eq!(code, 2);
    assert!(message.contains("nowhere.toml: cannot read"), "{message}");
    assert!(message.contains("bad.toml:4:5: "), "{message}");
}

#[test]
fn bad_use_is_exit_code_2() {
    let desk = Desk::new(SHAPES);
    for (line, words) in [
        ("", "Usage: nvfp4gen <COMMAND>"),
        ("frobnicate", "unrecognized subcommand 'frobnicate'"),
        (
            "build",
            "the following required arguments were not provided",
        ),
        ("build shapes.toml --jobs 0", "0 is not in 1..=65535"),
        (
            "build shapes.toml --target sm_90",
            "known targets are sm_100a, sm_103a",
        ),
        ("list", "cannot read generated: No such file"),
    ] {
        let (code, out, message) = desk.run(line);
        assert_eq!((code, out.as_str()), (2, ""), "{line}");
        assert!(message.contains(words), "{line}: {message}");
    }
}

#[test]
fn help_teaches() {
    let desk = Desk::new(SHAPES);
    let (code, help, _) = desk.run("--help");
    assert_eq!(code, 0);
    insta::assert_snapshot!(help);
}

#[test]
fn list_shows_what_was_built() {
    let desk = Desk::new(SHAPES);
    desk.run("build shapes.toml");
    let (code, table, _) = desk.run("list");
    assert_eq!(code, 0);
    assert!(
        table.contains("sm_100a  small  g2_m40-7_n136_k192_f16_dynamic"),
        "{table}"
    );
    let (_, text, _) = desk.run("list --dir generated/sm_100a --json");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json[1]["sizes"]["m"], serde_json::json!([0]));
}

#[test]
fn list_refuses_damage() {
    let desk = Desk::new(SHAPES);
    desk.run("build shapes.toml");
    fs::write(
        desk.path("generated/sm_100a/g1_m0_n128_k256_f16_dynamic.ptx"),
        "",
    )
    .unwrap();
    let (code, out, message) = desk.run("list");
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(
        message.contains("truncated or changed: its 0 bytes"),
        "{message}"
    );
}

#[test]
fn a_closed_pipe_is_no_error() {
    let desk = Desk::new(SHAPES);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = desk
        .command("build shapes.toml")
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(desk.path("generated/sm_100a/manifest.toml").exists());
}

/// A build that is killed anywhere leaves the old library or the new one, and the next build works.
#[test]
fn a_killed_build_leaves_a_whole_library() {
    let desk = Desk::new(SHAPES);
    desk.run_without_ptxas("build shapes.toml");
    let old = tree(&desk.path("generated/sm_100a"));
    let new_shapes = SHAPES.replace("40, 7", "41, 7").replace("128", "256");
    fs::write(desk.path("new.toml"), new_shapes).unwrap();
    desk.run_without_ptxas("build new.toml --out other");
    let new: Vec<Vec<u8>> = tree(&desk.path("other/sm_100a"))
        .into_iter()
        .map(|(_, bytes)| bytes)
        .collect();
    let old: Vec<Vec<u8>> = old.into_iter().map(|(_, bytes)| bytes).collect();
    let mut seen = [0, 0];
    for round in 0..60u64 {
        assert_eq!(desk.run_without_ptxas("build shapes.toml").0, 0);
        let mut build = desk
            .command("build new.toml")
            .env("NVFP4GEN_PTXAS", "/nowhere/ptxas")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_micros(round * 500));
        build.kill().unwrap();
        build.wait().unwrap();
        let now: Vec<Vec<u8>> = tree(&desk.path("generated/sm_100a"))
            .into_iter()
            .map(|(_, bytes)| bytes)
            .collect();
        assert!(
            now == old || now == new,
            "round {round}: neither the old nor the new library"
        );
        seen[usize::from(now == new)] += 1;
        assert_eq!(desk.run("list").0, 0);
    }
    assert!(seen[0] > 0, "never killed before the exchange");
}
