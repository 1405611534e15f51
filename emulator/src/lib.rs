//! A functional emulator of PTX for Blackwell and Hopper GPUs.

pub mod engine;
