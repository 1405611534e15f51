//! Bounds that no kernel can beat.

use super::machine::Machine;
use crate::problem::Set;

/// Bandwidth behind the contest's own speed of light, in TB/s.
pub const CONTEST_TB_S: f64 = 7.68;
/// Bandwidth that a B200 was measured to give (SA).
pub const MEASURED_TB_S: f64 = 7.2;
/// Bandwidth that an entrant measured on the contest's machine (GN).
pub const ENTRANT_TB_S: f64 = 5.915;

/// Microseconds that memory alone takes: every byte once, at a bandwidth in TB/s.
pub fn memory_us(set: &Set, tb_s: f64) -> f64 {
    set.bytes_moved() as f64 * 1e-6 / tb_s
}

/// Microseconds that the tensor cores of all SMs alone take at a clock in GHz.
pub fn math_us(set: &Set, machine: &Machine, clock_ghz: f64) -> f64 {
    let per_us = machine.sms.value * machine.flops_per_cycle.value * clock_ghz * 1e3;
    set.flops() as f64 / per_us
}
