//! Shape files: the shipped ones, their keys, and every refusal.

use nvfp4gen::problem::{Group, OutputType, Set, ShapeFile, Weights};
use std::fmt::Write;

fn shipped(name: &str) -> ShapeFile {
    ShapeFile::read(format!("shapes/{name}.toml")).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn keys_of_the_shipped_sets() {
    let mut keys = String::new();
    for file in ["leaderboard", "contest-tests", "edge"] {
        writeln!(keys, "{file}").unwrap();
        for set in shipped(file).sets {
            writeln!(keys, "  {:<18} {}", set.name, set.key()).unwrap();
        }
    }
    insta::assert_snapshot!(keys);
}

/// The table of published numbers: megabytes moved, GFLOP, and microseconds at 7.68 TB/s.
#[test]
fn leaderboard_bytes_and_flops() {
    let expected = [
        ("P1", 144.6, 60.1, 18.833),
        ("P2", 81.9, 30.1, 10.667),
        ("P3", 18.5, 12.9, 2.406),
        ("P4", 11.7, 6.4, 1.525),
    ];
    let file = shipped("leaderboard");
    for (name, megabytes, gflop, microseconds) in expected {
        let set = file.get(name).unwrap();
        let bytes = set.bytes_moved() as f64;
        assert!(
            (bytes / 1e6 - megabytes).abs() < 0.05,
            "{name}: {bytes} bytes"
        );
        assert!(
            (set.flops() as f64 / 1e9 - gflop).abs() < 0.05,
            "{name}: {} flops",
            set.flops()
        );
        assert!(
            (bytes / 7.68e6 - microseconds).abs() < 0.01,
            "{name}: {} us",
            bytes / 7.68e6
        );
        assert_eq!(set.weights, Weights::Static);
    }
}

#[test]
fn empty_groups_move_nothing() {
    let file = shipped("edge");
    let empty = file.get("all-empty").unwrap();
    assert_eq!((empty.bytes_moved(), empty.flops()), (0, 0));
    assert_eq!(
        Group { m: 1, n: 8, k: 64 }.bytes_moved(OutputType::F32),
        9 * (32 + 4) + 32
    );
}

#[test]
fn a_set_overrides_its_file_and_dynamic_is_the_default() {
    let parse = |text: &str| ShapeFile::parse("x.toml", text).unwrap().sets;
    let sets = parse(
        "weights = 'static'\n[[set]]\nname = 'a'\nm = [1]\nn = 8\nk = 64\n\
         [[set]]\nname = 'b'\nm = [1]\nn = [8]\nk = [64]\nweights = 'dynamic'\n",
    );
    let group = Group { m: 1, n: 8, k: 64 };
    let set = |name: &str, weights| Set {
        name: name.into(),
        groups: vec![group],
        output: OutputType::F16,
        weights,
    };
    assert_eq!(
        sets,
        [set("a", Weights::Static), set("b", Weights::Dynamic)]
    );
    let bare = parse("[[set]]\nname = 'c'\nm = [1]\nn = 8\nk = 64\n");
    assert_eq!(bare, [set("c", Weights::Dynamic)]);
}

/// The limits themselves are accepted.
#[test]
fn the_largest_sizes_pass() {
    let text = "[[set]]\nname = 'm'\nm = [2_147_483_647]\nn = 8\nk = 64\n\
                [[set]]\nname = 'n'\nm = [0]\nn = 2_147_483_640\nk = 64\n\
                [[set]]\nname = 'k'\nm = [0x7F]\nn = 8\nk = 262144\n";
    let sets = ShapeFile::parse("x.toml", text).unwrap().sets;
    assert_eq!(
        sets[0].groups,
        [Group {
            m: 2_147_483_647,
            n: 8,
            k: 64
        }]
    );
    assert_eq!(
        sets[1].groups,
        [Group {
            m: 0,
            n: 2_147_483_640,
            k: 64
        }]
    );
    assert_eq!(
        sets[2].groups,
        [Group {
            m: 127,
            n: 8,
            k: 262_144
        }]
    );
    let list = format!(
        "[[set]]\nname = 'g'\nm = [{}]\nn = 8\nk = 64\n",
        "1,".repeat(65_535)
    );
    assert_eq!(
        ShapeFile::parse("x.toml", &list).unwrap().sets[0]
            .groups
            .len(),
        65_535
    );
}

/// Each file in `tests/refusals/` has one theme; its snapshot is all that a user is told.
#[test]
fn refusals() {
    insta::glob!("refusals/*.toml", |path| {
        let text = std::fs::read_to_string(path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let refused = ShapeFile::parse(name, &text).expect_err("a file that is refused");
        insta::assert_snapshot!(refused.to_string());
    });
}

#[test]
fn refusals_of_text_too_long_to_keep_in_a_file() {
    let list = |count: usize| {
        format!(
            "[[set]]\nname = 'g'\nm = [{}]\nn = 8\nk = 64\n",
            "1, ".repeat(count)
        )
    };
    let too_many = ShapeFile::parse("x.toml", &list(65_536)).unwrap_err();
    let late = list(60)
        .replacen("m = [1, ", "m = [", 1)
        .replace("1, ]", "-5, 1, 1, 1, 1, 1, 1]");
    let far_along = ShapeFile::parse("x.toml", &late).unwrap_err();
    insta::assert_snapshot!(format!("{too_many}\n\n{far_along}"));
}

#[test]
fn a_file_that_is_not_there() {
    let error = ShapeFile::read("shapes/no-such-file.toml")
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("shapes/no-such-file.toml: cannot read this shape file: "),
        "{error}"
    );
}
