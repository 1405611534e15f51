//! `verify`: kernels that are right pass, under every schedule.

mod desk;

use desk::Desk;

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
