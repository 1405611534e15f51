//! Whether a kernel's output is right: data to run it on, a bound on its error, and the comparison.
//!
//! - [`draw`]: seeded inputs for a group, over the whole range of both data types;
//! - [`bound`]: how far an element may be from the exact sum, and why; [`swing`]: what one kind of kernel adds to that;
//! - [`compare`]: an output held to the exact reference and the bound;
//! - [`mod@mutants`]: kernels with one thing broken, which must not pass;
//! - [`report`]: what came of it, for a group and for a set.
//!
//! Nothing here knows how a kernel is made or run: outputs come in as bytes.

pub mod bound;
pub mod compare;
pub mod draw;
pub mod mutants;
pub mod report;
pub mod swing;

pub use bound::Summation;
pub use compare::{VerifyError, check_group, exact_output};
pub use draw::{Data, GroupInputs};
pub use mutants::{Edit, Mutant, mutants, trapped};
pub use report::{GroupVerdict, Offence, SetVerdict};
