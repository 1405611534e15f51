//! The commands that use a driver, as users see them, over the emulated one.

mod desk;
mod gpu;

use desk::{Desk, texts};

const SHAPES: &str = "
[[set]]
name = \"small\"
m = [40, 7]
n = 136
k = 192
";

fn built() -> Desk {
    let desk = Desk::new(SHAPES);
    assert_eq!(desk.run_without_ptxas("build shapes.toml").0, 0);
    desk
}

fn run(desk: &Desk, line: &str, environment: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = desk.command(line);
    command.env("LD_LIBRARY_PATH", gpu::driver_folder());
    command.envs(environment.iter().copied());
    texts(command.output().unwrap())
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn bench_times_every_way_and_checks_what_was_computed() {
    let desk = built();
    let line = "bench shapes.toml --data-sets 2 --repeats 1";
    let (code, table, message) = run(&desk, line, &[]);
    assert_eq!(code, 0, "{message}");
    for words in [
        "contest",
        "hot",
        "cold",
        "EMULATED: these times say nothing about a GPU",
        "small: ",
        "2 of 2 data sets right",
    ] {
        assert!(table.contains(words), "{words}: {table}");
    }
    let (_, text, _) = run(&desk, &format!("{line} --json"), &[]);
    let report = json(&text);
    assert_eq!(report["emulated"], true);
    let rows = report["sets"][0]["rows"].as_array().unwrap();
    for way in ["protocol", "graph", "programmatic"] {
        assert!(rows.iter().all(|row| !row[way].is_null()), "{text}");
    }
    assert!(rows.iter().any(|row| row["graph"] == true));
    assert!(rows.iter().all(|row| row["host_ns"].as_f64() > Some(0.0)));
    // Nothing is executed in null mode: outputs that nobody wrote are wrong, and that is an exit code.
    let (code, table, message) = run(&desk, line, &[("PTXEMU_NULL", "1")]);
    assert_eq!(code, 1, "{message}");
    assert!(table.contains("0 of 2 data sets right"), "{table}");
}

#[test]
fn profile_shows_where_a_call_goes() {
    let desk = built();
    let (code, table, message) = run(&desk, "profile shapes.toml --repeats 1", &[]);
    assert_eq!(code, 0, "{message}");
    for step in ["bind", "enqueue", "GPU, start to end", "EMULATED"] {
        assert!(table.contains(step), "{step}: {table}");
    }
    let (_, text, _) = run(&desk, "profile shapes.toml --repeats 1 --json", &[]);
    assert_eq!(json(&text)["sets"][0]["right"], true);
}

#[test]
fn doctor_says_what_is_there() {
    let desk = built();
    let (_, text, message) = run(&desk, "doctor", &[]);
    for part in ["driver", "ptxas", "emulator", "library"] {
        assert!(text.contains(part), "{part}: {text}{message}");
    }
    let (_, text, _) = run(&desk, "doctor --json", &[]);
    assert!(!json(&text).is_null());
}

#[test]
fn a_kernel_that_was_not_built_is_named_with_its_remedy() {
    let desk = built();
    let other = SHAPES.replace("40, 7", "41, 7").replace("small", "other");
    std::fs::write(desk.path("other.toml"), other).unwrap();
    let (code, _, message) = run(&desk, "bench other.toml --data-sets 1 --repeats 1", &[]);
    assert_eq!(code, 2);
    for words in [
        "no kernel g2_m41-7_n136_k192_f16_dynamic",
        "g2_m40-7_n136_k192_f16_dynamic (small)",
        "m = [41, 7]",
    ] {
        assert!(message.contains(words), "{words}: {message}");
    }
}
