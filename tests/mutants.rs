//! Every synchronisation of a generated kernel is broken once: none may pass.

use nvfp4gen::choose;
use nvfp4gen::device::Schedule;
use nvfp4gen::emit;
use nvfp4gen::plan::Target;
use nvfp4gen::plan::target::SM_100A;
use nvfp4gen::problem::ShapeFile;
use nvfp4gen::trial::{self, Finding};
use nvfp4gen::verify::Data;
use std::path::Path;

/// Two CTAs, so that each has several tiles and every ring wraps.
const TARGET: Target = Target { sms: 2, ..SM_100A };

#[test]
fn no_mutant_of_a_generated_kernel_survives() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("shapes/mutants.toml");
    let schedules: Vec<_> = [Schedule::Eager, Schedule::Lazy]
        .into_iter()
        .chain((0..8).map(Schedule::Random))
        .collect();
    for set in ShapeFile::read(&path).unwrap().sets {
        let kernel = emit::kernel(&choose::best(&set, TARGET).unwrap()).unwrap();
        let inputs = trial::inputs(&set, 1, Data::FullRange).unwrap();
        for &schedule in &schedules {
            let outputs = trial::execute(&kernel, &inputs, schedule).unwrap();
            assert!(
                trial::judge(&kernel, &set, &inputs, &outputs)
                    .unwrap()
                    .passed()
            );
        }
        let verdicts = trial::try_mutants(&kernel, &set, &inputs, &schedules).unwrap();
        let survivors: Vec<String> = verdicts
            .iter()
            .filter(|v| v.finding == Finding::Survived)
            .map(ToString::to_string)
            .collect();
        assert!(
            survivors.is_empty(),
            "{}:\n{}",
            set.name,
            survivors.join("\n")
        );
        assert!(
            verdicts.len() > 90,
            "{}: only {} mutants",
            set.name,
            verdicts.len()
        );
    }
}
