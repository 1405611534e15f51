//! Plans explained: the data, the text, the JSON and the page.

mod desk;

use std::fs;
use std::path::Path;

use desk::Desk;
use nvfp4gen::choose::{self, Choice};
use nvfp4gen::explain::{self, Report, html, json, text};
use nvfp4gen::model::{Workload, price};
use nvfp4gen::plan::Target;
use nvfp4gen::plan::target::{SM_90A, SM_100A};
use nvfp4gen::problem::{Pins, Set, ShapeFile};
use roxmltree::{Document, Node, ParsingOptions};

fn sets(file: &str) -> Vec<Set> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("shapes")
        .join(file);
    ShapeFile::read(&path)
        .unwrap_or_else(|e| panic!("{e}"))
        .sets
}

fn set(file: &str, name: &str) -> Set {
    let mut sets = sets(file);
    sets.retain(|set| set.name == name);
    sets.pop().unwrap_or_else(|| panic!("no set {name}"))
}

fn choice(set: &Set, target: Target) -> Choice {
    choose::choose(set, target).unwrap_or_else(|e| panic!("{}: {e}", set.name))
}

/// Reports of small sets of every kind, of both families.
fn small() -> Vec<Report> {
    let files = ["contest-tests.toml", "edge.toml", "many-groups.toml"];
    let sets: Vec<Set> = files.iter().flat_map(|file| sets(file)).collect();
    let of = |target: Target| {
        sets.iter()
            .map(move |set| explain::explain(&choice(set, target)))
    };
    of(SM_100A).chain(of(SM_90A)).collect()
}

#[test]
fn text_of_a_blackwell_plan() {
    let report = explain::explain(&choice(&set("leaderboard.toml", "P3"), SM_100A));
    insta::assert_snapshot!("text_sm_100a", text::text(&report));
}

#[test]
fn text_of_a_hopper_plan() {
    let report = explain::explain(&choice(&set("contest-tests.toml", "T4"), SM_90A));
    insta::assert_snapshot!("text_sm_90a", text::text(&report));
}

#[test]
fn the_report_is_the_plan() {
    for (file, name, target) in [
        ("leaderboard.toml", "P4", SM_100A),
        ("contest-tests.toml", "T9", SM_90A),
    ] {
        let choice = choice(&set(file, name), target);
        let (plan, price) = (&choice.plan, &choice.price);
        let report = explain::explain(&choice);
        let text = json::text(std::slice::from_ref(&report)).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let json = &document["sets"][0];
        assert_eq!(json["name"], name);
        assert_eq!(json["key"], plan.set.key());
        assert_eq!(json["target"], target.name);
        assert_eq!(json["tiles"], plan.schedule.tiles.len());
        assert_eq!(json["launch"]["grid"][0], plan.launch.grid[0]);
        assert_eq!(json["launch"]["dynamic_shared"], plan.launch.dynamic_shared);
        assert_eq!(json["time"]["predicted_us"], price.total_us);
        assert_eq!(json["roofline"]["bytes"], plan.set.bytes_moved());
        assert_eq!(json["roofline"]["flops"], plan.set.flops() as u64);
        assert_eq!(json["roofline"]["read_bytes"], price.read_bytes);
        assert_eq!(json["parameters"]["bytes"], plan.parameters.bytes);
        let maps = json["parameters"]["tensor_maps"].as_array().unwrap();
        assert_eq!(maps.len(), plan.parameters.tensor_maps.len());
        let rivals = json["why"]["runners_up"].as_array().unwrap();
        assert_eq!(rivals.len(), choice.runners_up.len());
        for (rival, runner_up) in rivals.iter().zip(&choice.runners_up) {
            assert_eq!(rival["predicted_us"], runner_up.total_us);
            assert!(rival["behind_us"].as_f64().unwrap() > 0.0);
        }
        let lanes = json["timeline"]["lanes"].as_array().unwrap();
        assert_eq!(lanes.len(), plan.schedule.ctas.len());
        let tiles: u64 = lanes.iter().map(|l| l["tiles"].as_u64().unwrap()).sum();
        assert_eq!(tiles, plan.schedule.tiles.len() as u64);
    }
}

#[test]
fn times_add_up() {
    for report in small() {
        let name = (&report.name, report.target);
        let parts: f64 = report.time.parts.iter().map(|p| p.us).sum();
        assert!((parts - report.time.predicted_us).abs() < 1e-6, "{name:?}");
        let shares = report.timeline.shares;
        let all = shares.mma + shares.epilogue + shares.load + shares.prologue + shares.idle;
        let works = report.tiles > 0;
        assert!(
            (all - f64::from(u8::from(works))).abs() < 1e-6,
            "{name:?}: {all}"
        );
        for lane in &report.timeline.lanes {
            assert!(lane.start_us <= lane.end_us, "{name:?}");
            assert!(lane.end_us <= report.timeline.exit_us, "{name:?}");
            for span in &lane.spans {
                assert!(span.start_us <= span.end_us, "{name:?}: {span:?}");
                assert!(lane.start_us <= span.start_us, "{name:?}: {span:?}");
                assert!(span.end_us <= lane.end_us, "{name:?}: {span:?}");
            }
        }
    }
}

#[test]
fn maps_have_neither_overlaps_nor_overflows() {
    let mut rows = 0;
    for report in small() {
        for map in &report.memories {
            for row in &map.rows {
                let what = (&report.name, report.target, &map.name, &row.name);
                let mut end = 0;
                for region in &row.regions {
                    assert!(end <= region.from && region.from < region.to, "{what:?}");
                    end = region.to;
                }
                assert!(end <= map.capacity, "{what:?}: {end} of {}", map.capacity);
                rows += 1;
            }
        }
        let Some(shared) = report.memories.first().map(|map| &map.rows) else {
            assert_eq!(report.tiles, 0, "{}", report.name);
            continue;
        };
        let most = shared.iter().flat_map(|r| &r.regions).map(|r| r.to).max();
        assert_eq!(most.unwrap_or(0), report.launch.dynamic_shared);
    }
    assert!(rows > 100);
}

#[test]
fn a_constant_that_changes_the_choice_does() {
    let choice = choice(&set("leaderboard.toml", "P3"), SM_100A);
    let machine = choose::machine(&SM_100A);
    let report = explain::explain(&choice);
    let mut winners = 0;
    for moves in &report.sensitivity.constants {
        for end in [&moves.low, &moves.high] {
            let changed = machine.with(moves.constant, end.at).unwrap();
            let us = |plan: &nvfp4gen::plan::Plan| price(&Workload::from(plan), &changed).total_us;
            let chosen = us(&choice.plan);
            assert!((chosen / choice.price.total_us - 1.0 - end.moved).abs() < 1e-9);
            let rivals = choice.runners_up.iter().map(|runner_up| {
                let plan = runner_up.choices.plan(&choice.plan.set, SM_100A).unwrap();
                us(&plan)
            });
            let best = rivals.fold(f64::INFINITY, f64::min);
            match end.winner {
                Some(_) => assert!((chosen - best - end.margin_us).abs() < 1e-9),
                None => assert!(chosen < best + 1e-3, "{}", moves.constant),
            }
            winners += usize::from(end.winner.is_some());
        }
    }
    assert!(
        winners > 0,
        "no constant moves the choice of P3: look for another set"
    );
}

/// The constants that could change a leaderboard plan, as the README has them.
#[test]
fn which_constants_move_the_choice() {
    let mut lines = Vec::new();
    for set in sets("leaderboard.toml") {
        let report = explain::explain(&choice(&set, SM_100A));
        lines.push(format!("{}: {}", set.name, report.sensitivity.text));
        for moves in &report.sensitivity.constants {
            for end in [&moves.low, &moves.high] {
                let Some(winner) = end.winner else { continue };
                let rival = &report.why.runners_up[winner - 1];
                lines.push(format!(
                    "  {} = {} (now {} {}): cheaper by {:.2} us with {}",
                    moves.constant,
                    end.at,
                    moves.value,
                    moves.unit,
                    end.margin_us,
                    rival.differs()
                ));
            }
        }
    }
    insta::assert_snapshot!("constants_that_move_the_choice", lines.join("\n"));
}

fn number(node: Node<'_, '_>, name: &str) -> f64 {
    let value = node.attribute(name).unwrap_or_else(|| panic!("no {name}"));
    value
        .parse()
        .unwrap_or_else(|e| panic!("{name}={value}: {e}"))
}

/// Everything drawn in a picture lies in it, words as far as one can tell without a font.
fn check_picture(svg: Node<'_, '_>) -> usize {
    let view = svg.attribute("viewBox").expect("a viewBox");
    let view: Vec<f64> = view.split(' ').map(|v| v.parse().unwrap()).collect();
    let [0.0, 0.0, width, height] = view[..] else {
        panic!("viewBox {view:?}")
    };
    let inside = |x: f64, y: f64| {
        let slack = 0.011;
        (-slack..=width + slack).contains(&x) && (-slack..=height + slack).contains(&y)
    };
    let mut rects = 0;
    for node in svg.descendants().filter(Node::is_element) {
        let at = |x, y| (number(node, x), number(node, y));
        match node.tag_name().name() {
            "rect" => {
                let (x, y) = at("x", "y");
                let (w, h) = at("width", "height");
                assert!(w >= 0.0 && h > 0.0, "{node:?}");
                assert!(inside(x, y) && inside(x + w, y + h), "{node:?} in {view:?}");
                rects += 1;
            }
            "line" => {
                let (from, to) = (at("x1", "y1"), at("x2", "y2"));
                assert!(inside(from.0, from.1) && inside(to.0, to.1), "{node:?}");
            }
            "text" => {
                let (x, y) = at("x", "y");
                let length = node.text().unwrap_or("").chars().count() as f64 * 7.2;
                let class = node.attribute("class").unwrap_or("");
                let (from, to) = match class.split(' ').next() {
                    Some("start") => (x, x + length),
                    Some("middle") => (x - length / 2.0, x + length / 2.0),
                    Some("end") => (x - length, x),
                    _ => panic!("{node:?} has no anchor"),
                };
                assert!(
                    inside(from, y) && inside(to, y),
                    "{node:?}: {:?}",
                    node.text()
                );
            }
            _ => (),
        }
    }
    rects
}

#[test]
fn the_page_is_whole_and_everything_is_in_its_picture() {
    let mut reports = small();
    for target in [SM_100A, SM_90A] {
        let of = |name| explain::explain(&choice(&set("leaderboard.toml", name), target));
        reports.extend(["P2", "P4"].map(of));
    }
    let page = html::page(&reports).unwrap();
    let options = ParsingOptions {
        allow_dtd: true,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(&page, options).unwrap_or_else(|e| panic!("{e}"));
    let mains = document.descendants().filter(|n| n.has_tag_name("main"));
    assert_eq!(mains.count(), reports.len());
    let pictures = document.descendants().filter(|n| n.has_tag_name("svg"));
    let rects: Vec<usize> = pictures.map(check_picture).collect();
    assert!(rects.len() > 4 * reports.len(), "{}", rects.len());
    // Time of no length is not drawn, so a picture may be nearly empty, but not all of them.
    assert!(rects.iter().sum::<usize>() > 50 * reports.len());
}

#[test]
fn the_page_needs_nothing_else() {
    let report = explain::explain(&choice(&set("contest-tests.toml", "T1"), SM_100A));
    let page = html::page(&[report]).unwrap();
    for foreign in [
        "http:", "https:", "//", "<script", "<link", "<img", "<iframe", "@import", "url(", "src=",
        "href=", "onload",
    ] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    for needed in [
        "prefers-color-scheme: dark",
        "@media print",
        "charset=\"utf-8\"",
    ] {
        assert!(page.contains(needed), "{needed}");
    }
}

#[test]
fn names_of_sets_cannot_break_the_page() {
    let mut set = set("contest-tests.toml", "T1");
    set.name = "<b>\"&'</b>".to_owned();
    let page = html::page(&[explain::explain(&choice(&set, SM_100A))]).unwrap();
    assert!(!page.contains("<b>\"&"), "the name is not escaped");
    let options = ParsingOptions {
        allow_dtd: true,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(&page, options).unwrap_or_else(|e| panic!("{e}"));
    let title = document
        .descendants()
        .find(|n| n.has_tag_name("h1"))
        .unwrap();
    assert!(title.text().unwrap().starts_with(&set.name));
}

const PINNED: &str = "
[[set]]
name = \"small\"
m = [40, 7]
n = 136
k = 192

[[set]]
name = \"other\"
m = [64]
n = 128
k = 256

[tuning.small.sm_100a]
device = \"B200\"
date = 2026-11-20
measured_us = 4.25
choices = { chunk = 16, accumulators = 3 }
";

#[test]
fn a_pinned_plan_says_so() {
    let desk = Desk::new(PINNED);
    let file = ShapeFile::read(desk.path("shapes.toml")).unwrap();
    let mut pins = Pins::default();
    pins.add(Path::new("shapes.toml"), file.pins);
    let choice = choose::choose_pinned(&file.sets[0], SM_100A, &pins).unwrap();
    let report = explain::explain(&choice);
    let pinned = report.why.pinned.as_ref().expect("it is pinned");
    assert_eq!((pinned.device.as_str(), pinned.measured_us), ("B200", 4.25));
    assert!(!report.why.runners_up.is_empty());
    let (code, text, _) = desk.run("explain shapes.toml small");
    assert_eq!(code, 0);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let says = "This plan is pinned in the shape file: 4.25 us on B200, 2026-11-20.";
    assert!(text.contains(says), "{text}");
    assert!(text.contains("accumulators 3, chunk 16"), "{text}");
    assert!(
        text.contains("The plan is pinned: constants move its price"),
        "{text}"
    );
    let (_, text, _) = desk.run("explain shapes.toml other");
    assert!(!text.contains("pinned"), "{text}");
}

#[test]
fn sets_are_found_by_name_key_and_number() {
    let desk = Desk::new(PINNED);
    let key = "g1_m64_n128_k256_f16_dynamic";
    let (code, by_name, message) = desk.run("explain shapes.toml --set other");
    assert_eq!(code, 0, "{message}");
    assert!(by_name.starts_with(&format!(
        "other on sm_100a: {key}\nSizes from shapes.toml.\n"
    )));
    for words in ["other", key, "2"] {
        assert_eq!(desk.run(&format!("explain shapes.toml {words}")).1, by_name);
    }
    let (_, both, _) = desk.run("explain shapes.toml");
    assert!(both.starts_with("small on ") && both.ends_with(&by_name));
    let (code, hopper, _) = desk.run("explain ./shapes.toml 2 --target sm_90a --json");
    assert_eq!(code, 0);
    let json: serde_json::Value = serde_json::from_str(&hopper).unwrap();
    assert_eq!(json["sets"][0]["target"], "sm_90a");
    assert_eq!(json["sets"].as_array().unwrap().len(), 1);
}

#[test]
fn sets_are_found_in_a_library() {
    let desk = Desk::new(PINNED);
    let key = "g1_m64_n128_k256_f16_dynamic";
    desk.run_without_ptxas("build shapes.toml");
    let (code, text, message) = desk.run(&format!("explain {key}"));
    assert_eq!(code, 0, "{message}");
    assert!(text.contains("\nSizes from generated/sm_100a; the kernel there is of this plan.\n"));
    let (_, text, _) = desk.run("explain small --dir generated");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let says = "the kernel there is not of this plan, but of one that was pinned in its shape file";
    assert!(text.contains(says), "{text}");
}

#[test]
fn what_cannot_be_explained_is_named() {
    let desk = Desk::new(PINNED);
    let (code, out, message) = desk.run("explain shapes.toml g1_m1_n8_k64_f16_static");
    assert_eq!((code, out.as_str()), (2, ""));
    let expected = "error: no set in shapes.toml has the name, key or number \
                    `g1_m1_n8_k64_f16_static`; there are:\n  \
                    small (g2_m40-7_n136_k192_f16_dynamic)\n  \
                    other (g1_m64_n128_k256_f16_dynamic)\n";
    assert_eq!(message, expected);
    for (line, words) in [
        ("explain shapes.toml 0", "`0`; there are:"),
        ("explain shapes.toml 3", "`3`; there are:"),
        ("explain small", "generated/sm_100a"),
        ("explain small", "name a shape file, e.g. `nvfp4gen explain"),
        ("explain nowhere.toml", "nowhere.toml: cannot read"),
        ("explain", "<FILE|SET>..."),
        (
            "explain shapes.toml --json --html x.html",
            "cannot be used with",
        ),
        (
            "explain shapes.toml 2 --html no/x.html",
            "cannot write no/x.html",
        ),
        (
            "explain shapes.toml --target sm_1",
            "known targets are sm_100a",
        ),
    ] {
        let (code, out, message) = desk.run(line);
        assert_eq!((code, out.as_str()), (2, ""), "{line}: {message}");
        assert!(message.contains(words), "{line}: {message}");
    }
}

#[test]
fn the_page_is_written_the_same_each_time() {
    let desk = Desk::new(PINNED);
    let pages = ["one.html", "two.html"].map(|name| {
        let (code, out, message) = desk.run(&format!("explain shapes.toml --html {name}"));
        assert_eq!((code, out.as_str()), (0, ""), "{message}");
        fs::read_to_string(desk.path(name)).unwrap()
    });
    assert_eq!(pages[0], pages[1]);
    assert!(pages[0].starts_with("<!DOCTYPE html>"));
}
