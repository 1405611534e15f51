//! What is asked for: sets of NVFP4 grouped GEMMs, their keys, and the shape files that list them.
//!
//! A [`Set`] is everything that is known before any kernel exists: the sizes of its groups, the output type, and
//! whether a previous kernel may still be writing the weights. Its [`Set::key`] names the kernel, on disk and for
//! callers. A [`ShapeFile`] is a TOML list of sets; it refuses bad ones with file, line, column and remedy, all at
//! once ([`Diagnostics`]).

mod diagnostics;
mod fields;
mod key;
pub mod limits;
mod pinning;
mod reader;
mod set;
mod shape_file;
pub mod tuning;
mod words;

pub use diagnostics::{Diagnostic, Diagnostics};
pub use key::MAX_KEY_LEN;
pub use pinning::{Found, PinningError, entries, pinned_text};
pub use set::{Group, OutputType, Set, Weights};
pub use shape_file::{ProblemError, ShapeFile};
pub use tuning::{Pin, Pins, Setting};
