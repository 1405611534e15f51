//! What a kernel asks of the machine, counted in its text and in its machine code.

use nvfp4gen::assemble::{Ptxas, nvdisasm};
use nvfp4gen::choose::best as choose;
use nvfp4gen::emit;
use nvfp4gen::model::Workload;
use nvfp4gen::plan::target::SM_100A;
use nvfp4gen::plan::{Plan, TargetPlan, sm_100a};
use nvfp4gen::problem::{Set, ShapeFile};
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

fn sets(file: &str) -> Vec<Set> {
    let shapes = Path::new(env!("CARGO_MANIFEST_DIR")).join("shapes");
    ShapeFile::read(shapes.join(file)).unwrap().sets
}

/// The chosen plan, but for CTAs that work alone, and none that only prefetches.
fn alone(set: &Set) -> Plan {
    let chosen = choose(set, SM_100A).unwrap();
    let choices = sm_100a::Choices {
        pair: false,
        multicast: false,
        ctas: SM_100A.sms,
        prefetch: 0,
        ..inside(&chosen).choices.clone()
    };
    sm_100a::plan(set, SM_100A, choices).unwrap()
}

fn inside(plan: &Plan) -> &sm_100a::Kernel {
    match &plan.kernel {
        TargetPlan::Sm100a(kernel) => kernel,
        TargetPlan::Sm90a(_) => panic!("planned for sm_100a"),
    }
}

/// The rows of a kernel's table, read back from its text: constant name to value. What is no column is an immediate in
/// the code, `mov.u32 %name, value;`.
fn table(ptx: &str) -> Vec<HashMap<String, u32>> {
    let mut lines = ptx.lines().skip_while(|l| !l.starts_with("// ---- Table"));
    let names: Vec<String> = lines
        .nth(1)
        .unwrap()
        .trim_start_matches("// ")
        .split(", ")
        .map(str::to_owned)
        .collect();
    let rows = lines.skip(1).take_while(|l| !l.starts_with('}'));
    let row = |line: &str| {
        let values = line.trim().trim_end_matches(',').split(", ");
        let values = values.map(|v| v.parse().unwrap());
        names.iter().cloned().zip(values).collect()
    };
    rows.map(row).collect()
}

fn constant(ptx: &str, row: &HashMap<String, u32>, name: &str) -> u32 {
    row.get(name).copied().unwrap_or_else(|| {
        let register = format!("%{name}, ");
        let of_mov = |l: &str| {
            let operands = l.trim().strip_prefix("mov.u32")?.trim();
            let value = operands.strip_prefix(&register)?.strip_suffix(';')?;
            value.parse().ok()
        };
        ptx.lines().find_map(of_mov).unwrap()
    })
}

/// Whatever every K block of every tile expects to arrive adds up to each operand's bytes, once for each tile that
/// needs them, in rows that exist: no more, no less.
#[test]
fn the_bytes_that_are_requested_are_those_of_the_operands() {
    for set in sets("leaderboard.toml") {
        let plan = alone(&set);
        let ptx = emit::kernel(&plan).unwrap().ptx;
        let expected = |row: &HashMap<String, u32>| {
            let of = |name| u64::from(constant(&ptx, row, name));
            of("k_blocks") * of("stage_bytes")
        };
        let requested: u64 = table(&ptx).iter().map(expected).sum();
        let mut operands = 0;
        for tile in &plan.schedule.tiles {
            let tokens = &plan.token_tiles[tile.token_tile];
            let group = &set.groups[plan.tilings[tokens.tiling].group as usize];
            let (k, m) = (u64::from(group.k), u64::from(group.m));
            let rows = 128 + u64::from(tokens.rows);
            let (first, end) = (
                u64::from(tokens.first),
                u64::from(tokens.first + tokens.rows),
            );
            assert!(end <= m);
            // Scales come in slabs of 128 rows.
            let slabs = 1 + end.div_ceil(128) - first / 128;
            operands += rows * k / 2 + slabs * 128 * k / 16;
        }
        assert_eq!(requested, operands, "{}", set.name);
        let priced = Workload::from(&plan).requested_bytes();
        assert_eq!(requested, priced, "{}: what the model prices", set.name);
    }
}

/// However CTAs work together, the model reads every byte of every operand from memory once.
#[test]
fn plans_of_ctas_alone_and_together_are_priced_for_the_same_bytes() {
    for set in sets("leaderboard.toml") {
        let alone = alone(&set);
        let distinct = Workload::from(&alone).distinct_bytes();
        for (pair, multicast) in [(true, false), (true, true), (false, true)] {
            let choices = sm_100a::Choices {
                pair,
                multicast,
                ..inside(&alone).choices.clone()
            };
            let together = sm_100a::plan(&set, SM_100A, choices).unwrap();
            let workload = Workload::from(&together);
            assert_eq!(workload.distinct_bytes(), distinct, "{}", set.name);
        }
    }
}

/// The machine code of a kernel: one instruction or label a line.
struct Sass {
    lines: Vec<String>,
}

impl Sass {
    fn of(ptx: &str) -> Self {
        let ptxas = Ptxas::find().expect("run scripts/fetch-tools");
        let assembly = ptxas.assemble(ptx, SM_100A.name).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &assembly.cubin).unwrap();
        let tool = nvdisasm().expect("run scripts/fetch-tools");
        let output = Command::new(tool)
            .arg("-c")
            .arg(file.path())
            .output()
            .unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let is_code = |l: &&str| l.starts_with(".L_x_") || l.contains("/*") && l.contains(';');
        Sass {
            lines: text.lines().filter(is_code).map(str::to_owned).collect(),
        }
    }

    fn count(&self, opcode: &str) -> usize {
        self.lines.iter().filter(|l| l.contains(opcode)).count()
    }

    fn is_label(&self, line: usize) -> bool {
        self.lines[line].starts_with(".L_x_")
    }

    /// The smallest loop around the last occurrence of an opcode.
    fn loop_around(&self, opcode: &str) -> Range<usize> {
        let at = self.lines.iter().rposition(|l| l.contains(opcode)).unwrap();
        let labels: HashMap<&str, usize> = (0..self.lines.len())
            .filter(|&i| self.is_label(i))
            .map(|i| (self.lines[i].trim_end_matches(':'), i))
            .collect();
        let backwards = (at..self.lines.len()).filter_map(|i| {
            let target = self.lines[i].split("`(").nth(1)?.split(')').next()?;
            let start = *labels.get(target)?;
            (self.lines[i].contains("BRA") && start <= at).then_some(start..i + 1)
        });
        backwards.min_by_key(|r| r.len()).unwrap()
    }

    fn instructions(&self, range: Range<usize>) -> usize {
        range.filter(|&i| !self.is_label(i)).count()
    }

    fn count_in(&self, range: Range<usize>, opcodes: &[&str]) -> usize {
        let has = |line: &String| opcodes.iter().any(|o| line.contains(o));
        self.lines[range].iter().filter(|l| has(l)).count()
    }
}

#[test]
fn machine_code_issues_each_operation_once_and_main_loops_hold_nothing_else() {
    for set in sets("leaderboard.toml") {
        let plan = alone(&set);
        let (kernel, name) = (inside(&plan), &set.name);
        let sass = Sass::of(&emit::kernel(&plan).unwrap().ptx);
        let steps = kernel.steps.len();
        let slabs = kernel.shared.stage.slabs as usize;
        assert_eq!(sass.count("UTCOMMA"), steps, "{name}: MMAs");
        assert_eq!(
            sass.count("UTCCP"),
            steps * (1 + slabs),
            "{name}: scale copies"
        );
        // In the first ring and after it.
        assert_eq!(sass.count("UTMALDG"), 2 * 2, "{name}: boxes");
        assert_eq!(sass.count("UBLKCP"), 2 * (1 + slabs), "{name}: scales");
        assert_eq!(sass.count("UTCBAR"), 2, "{name}: commits");
        assert_eq!(sass.count("LDL") + sass.count("STL"), 0, "{name}: spills");

        let multiply = sass.loop_around("UTCOMMA");
        let load = sass.loop_around("UTMALDG");
        for (what, range, waits) in [("MMA", multiply.clone(), 1), ("load", load.clone(), 1)] {
            let found = sass.count_in(range.clone(), &["TRYWAIT"]);
            assert_eq!(found, waits, "{name}: waits in the {what} loop");
            // Constants are in the instructions or in registers, not fetched each time.
            let fetched = sass.count_in(range, &[" LDC", " LDG", " LDS", " ULDC"]);
            assert_eq!(fetched, 0, "{name}: fetches in the {what} loop");
        }
        let (multiply, load) = (sass.instructions(multiply), sass.instructions(load));
        assert!(
            multiply <= 35 + steps * (8 + 3 * slabs),
            "{name}: {multiply}"
        );
        assert!(load <= 40 + 12 * slabs, "{name}: {load}");
    }
}
