//! The corpus of wrong kernels and their correct twins: reading, assembling, running, judging. README.md, one folder
//! up, describes the format of the cases.

pub mod assemble;
pub mod case;
pub mod emulate;
pub mod formula;
pub mod verdict;
