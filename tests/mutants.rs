//! Every synchronisation of a generated kernel is broken once: none may pass.

mod variants;

use nvfp4gen::plan::Target;
use nvfp4gen::plan::target::SM_100A;
use nvfp4gen::{choose, emit};
use variants::{every_mutant_shows, is_right, shipped};

/// Two CTAs, so that each has several tiles and every ring wraps.
const TARGET: Target = Target { sms: 2, ..SM_100A };

#[test]
fn no_mutant_of_a_generated_kernel_survives() {
    for set in shipped("mutants.toml") {
        let kernel = emit::kernel(&choose::best(&set, TARGET).unwrap()).unwrap();
        is_right(&kernel, &set, 8, "as chosen");
        let mutants = every_mutant_shows(&kernel, &set, 8, "as chosen");
        assert!(mutants > 90, "{}: only {mutants} mutants", set.name);
    }
}
