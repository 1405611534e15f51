//! `verify`: kernels that are right pass, under every schedule.

mod desk;

use desk::{Desk, texts};

const SHAPES: &str = "
[[set]]
name = \"small\"
m = [9, 0, 40]
n = [136, 128, 8]
k = [192, 64, 320]

[[set]]
name = \"empty\"
m = [0]
n = 128
k = 256
";

#[test]
fn right_kernels_pass() {
    let desk = Desk::new(SHAPES);
    let (code, table, progress) = desk.run("verify shapes.toml");
    assert_eq!(code, 0, "{table}{progress}");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows[0].join(" "),
        "set elements max ulps of bound seconds result"
    );
    assert_eq!(
        (rows[1][0], rows[1][1], rows[1][5]),
        ("small", "1,544", "ok")
    );
    assert_eq!((rows[2][0], rows[2][1], rows[2][5]), ("empty", "0", "ok"));
    assert!(
        table.ends_with("On the emulated GPU, schedules: eager, lazy.\n"),
        "{table}"
    );
    assert!(progress.contains("[2/2] verify "), "{progress}");
}

#[test]
fn seeds_schedules_and_data_are_as_asked() {
    let desk = Desk::new(SHAPES);
    let line = "verify shapes.toml --set small --seed 9 --data no-cancellation --schedule random:3 --json --jobs 1";
    let (code, text, _) = desk.run(line);
    assert_eq!(code, 0);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&json["seed"], &json["device"], &json["passed"]),
        (&9.into(), &"emulated".into(), &true.into())
    );
    let [set] = json["sets"].as_array().unwrap().as_slice() else {
        panic!("{json}")
    };
    let [run] = set["runs"].as_array().unwrap().as_slice() else {
        panic!("{json}")
    };
    assert_eq!(run["schedule"], "random:3");
    let ulps = run["max_ulps"].as_f64().unwrap();
    assert!(
        ulps > 0.0 && ulps <= 1.0,
        "rounding shows, and at most one ulp of f16: {ulps}"
    );
}

/// Runs `nvfp4gen verify` in the repository, on the shape files that ship.
fn verify_shipped(line: &str) -> serde_json::Value {
    let mut command = Desk::new(SHAPES).command(&format!("verify --json {line}"));
    let (code, text, message) = texts(
        command
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap(),
    );
    assert_eq!(code, 0, "{message}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn contest_and_edge_cases_are_right_under_every_schedule() {
    let schedules = "--schedule eager --schedule lazy --schedule random:1 --schedule random:2";
    let json = verify_shipped(&format!(
        "shapes/contest-tests.toml shapes/edge.toml shapes/many-groups.toml {schedules}"
    ));
    let sets = json["sets"].as_array().unwrap();
    assert!(
        sets.len() >= 22
            && sets
                .iter()
                .all(|set| set["runs"].as_array().unwrap().len() == 4)
    );
}

#[test]
fn without_cancellation_nothing_is_off_by_more_than_an_ulp() {
    let json = verify_shipped("shapes/contest-tests.toml --data no-cancellation --schedule lazy");
    for set in json["sets"].as_array().unwrap() {
        let ulps = set["runs"][0]["max_ulps"].as_f64().unwrap();
        assert!(ulps > 0.4 && ulps <= 1.0, "{set}");
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without --release")]
fn the_leaderboard_is_right() {
    let json = verify_shipped("shapes/leaderboard.toml");
    assert_eq!(json["sets"].as_array().unwrap().len(), 4);
}

#[test]
fn bad_use() {
    let desk = Desk::new(SHAPES);
    for (line, words) in [
        (
            "verify",
            "the following required arguments were not provided",
        ),
        (
            "verify shapes.toml --set tiny",
            "no set is called `tiny`; there are: small, empty",
        ),
        (
            "verify shapes.toml --schedule random",
            "expected eager, lazy or random:SEED",
        ),
        ("verify shapes.toml --seed x", "invalid digit"),
        ("verify nowhere.toml", "nowhere.toml: cannot read"),
    ] {
        let (code, _, message) = desk.run(line);
        assert_eq!(code, 2, "{line}");
        assert!(message.contains(words), "{line}: {message}");
    }
}
