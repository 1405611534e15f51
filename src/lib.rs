//! A compiler from known problem-size sets of NVFP4 grouped GEMMs to fully specialised PTX.

pub mod artifact;
pub mod assemble;
pub mod choose;
pub mod device;
pub mod emit;
pub mod explain;
pub mod export;
pub mod model;
pub mod numerics;
pub mod plan;
pub mod problem;
pub mod runtime;
pub mod trial;
pub mod verify;
