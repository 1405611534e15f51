//! What ptxas and nvdisasm make of the generated kernels.

mod variants;

use nvfp4gen::assemble::{Assembly, Ptxas, nvdisasm};
use nvfp4gen::choose;
use nvfp4gen::emit;
use nvfp4gen::plan::schedule::Order;
use nvfp4gen::plan::sm_100a::{Choices, plan};
use nvfp4gen::plan::target::{Family, SM_100A, TARGETS};
use nvfp4gen::plan::{Plan, Target};
use nvfp4gen::problem::{Group, OutputType, Set, ShapeFile, Weights};
use std::path::Path;
use std::process::Command;
use variants::alone;

fn shipped() -> Vec<Set> {
    let shapes = Path::new(env!("CARGO_MANIFEST_DIR")).join("shapes");
    let mut files: Vec<_> = std::fs::read_dir(shapes)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    files
        .iter()
        .flat_map(|file| ShapeFile::read(file).unwrap().sets)
        .collect()
}

fn ptx(plan: &Plan) -> String {
    emit::kernel(plan).unwrap().ptx
}

fn assemble(set: &Set, target: Target) -> Assembly {
    assemble_plan(&choose::best(set, target).unwrap())
}

fn assemble_plan(plan: &Plan) -> Assembly {
    let ptxas = Ptxas::find().expect("run scripts/fetch-tools");
    ptxas
        .assemble(&ptx(plan), plan.target.name)
        .unwrap_or_else(|e| panic!("{}: {e}", plan.set.name))
}

#[test]
fn every_shipped_set_assembles_for_every_target_without_spills_or_warnings() {
    for target in TARGETS {
        for set in shipped() {
            let assembly = assemble(&set, target);
            assert_eq!(assembly.warnings, [], "{} on {target}", set.name);
            let [kernel] = &assembly.entries[..] else {
                panic!("one entry")
            };
            assert_eq!(
                (kernel.spill_stores, kernel.spill_loads, kernel.local_bytes),
                (0, 0, 0),
                "{}",
                set.name
            );
            // Hopper's 512 threads share out all that an SM has.
            let most = match target.family {
                Family::Blackwell => 96,
                Family::Hopper => 128,
            };
            assert!(
                kernel.registers <= most,
                "{}: {} registers",
                set.name,
                kernel.registers
            );
        }
    }
}

/// The instructions of the tensor core and of the copy engines, as the plan orders them: nothing is issued twice,
/// and none is wrapped in a loop over threads (which would show as more ELECTs).
#[test]
fn the_machine_code_holds_what_the_plan_asks_for() {
    // Its CTAs work alone; what a pair issues is counted where pairs are tested.
    let choices = Choices {
        order: Order::Balanced,
        ctas: SM_100A.sms,
        chunk: 16,
        ..alone()
    };
    let set = shipped().into_iter().find(|set| set.name == "P2").unwrap();
    let plan = plan(&set, SM_100A, choices).unwrap();
    let sass = disassemble(&assemble_plan(&plan).cubin);
    let count = |opcode: &str| sass.lines().filter(|line| line.contains(opcode)).count();
    assert_eq!(count("UTCOMMA.4X"), 4, "an MMA for each K step");
    assert_eq!(
        count("UTCCP"),
        12,
        "copies of one slab of weight scales and two of token scales for each K step"
    );
    assert_eq!(
        count("UTMALDG.2D"),
        4,
        "weights and tokens, in the first ring and after it"
    );
    assert_eq!(
        count("UBLKCP"),
        6,
        "one slab of weight scales, two of token scales, likewise"
    );
    assert_eq!(count("UTCBAR"), 2, "commits: stage empty, accumulator full");
    assert_eq!(
        count("LDTM.16dp256bit.x2"),
        4,
        "two halves of a warp's lanes, of the first chunk and of the next"
    );
    assert_eq!(count("STG.E.128"), 2, "16 tokens, eight at a time");
    assert_eq!(count("LDL") + count("STL"), 0, "local memory");
}

fn disassemble(cubin: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), cubin).unwrap();
    let tool = nvdisasm().expect("run scripts/fetch-tools");
    let output = Command::new(tool)
        .arg("-c")
        .arg(file.path())
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn ptx_does_not_grow_with_the_number_of_groups() {
    let set = |groups: u32| Set {
        name: format!("{groups}-groups"),
        groups: (0..groups)
            .map(|g| Group {
                m: 8 + 16 * (g % 23),
                n: 1024,
                k: 2048,
            })
            .collect(),
        output: OutputType::F16,
        weights: Weights::Dynamic,
    };
    let code_bytes = |set: &Set| {
        let plan = choose::best(set, SM_100A).unwrap();
        assemble_plan(&plan);
        let text = ptx(&plan);
        let tables = text
            .lines()
            .filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()));
        text.len() - tables.map(|line| line.len() + 1).sum::<usize>()
    };
    let (few, many) = (code_bytes(&set(8)), code_bytes(&set(64)));
    assert!(
        many * 10 < few * 12,
        "{few} bytes for 8 groups, {many} for 64, tables aside"
    );
}
