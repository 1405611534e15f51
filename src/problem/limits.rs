//! What a group may be. Each rule gives a number its type or refuses it with a remedy.

use super::{Group, OutputType};
use crate::numerics::MAX_K;

/// The largest M.
pub const MAX_M: u32 = i32::MAX as u32;
/// The largest N: a multiple of 8 below 2^31.
pub const MAX_N: u32 = MAX_M - 7;
/// N is a multiple of this, so that rows of C are multiples of 16 bytes.
pub const N_STEP: u32 = 8;
/// K is a multiple of this, the depth of one tensor-core instruction.
pub const K_STEP: u32 = 64;
/// The most groups in a set.
pub const MAX_GROUPS: usize = 65_535;
/// The largest size in bytes of A, B or C of one group: 1 TiB, the reach of a tensor map's strides.
pub const MAX_OPERAND_BYTES: u64 = 1 << 40;
/// The longest name of a set.
pub const MAX_NAME_LEN: usize = 64;

/// Why a value is refused, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl Refusal {
    /// A refusal of `message` and `remedy`.
    pub fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}

/// M: 0 or more.
pub fn m(value: i128) -> Result<u32, Refusal> {
    if value < 0 {
        return Err(Refusal::new(
            format!("M = {value} is negative"),
            "use 0 for an empty group",
        ));
    }
    at_most("M", value, MAX_M)
}

/// N: a positive multiple of 8.
pub fn n(value: i128) -> Result<u32, Refusal> {
    positive_multiple("N", value, N_STEP, MAX_N)
}

/// K: a positive multiple of 64 for which the exact reference fits 64 bits.
pub fn k(value: i128) -> Result<u32, Refusal> {
    positive_multiple("K", value, K_STEP, MAX_K as u32)
}

/// A group whose A, B and C are each at most [`MAX_OPERAND_BYTES`].
pub fn group(group: Group, output: OutputType) -> Result<Group, Refusal> {
    let [m, n, k] = [group.m, group.n, group.k].map(u64::from);
    for (operand, bytes) in [
        ("A", m * k / 2),
        ("B", n * k / 2),
        ("C", m * n * output.bytes()),
    ] {
        if bytes > MAX_OPERAND_BYTES {
            let message = format!("{operand} of the group {group} has {bytes} bytes");
            let remedy = format!("stay within {MAX_OPERAND_BYTES} bytes for each of A, B and C");
            return Err(Refusal::new(message, remedy));
        }
    }
    Ok(group)
}

/// A name: letters, digits, `-`, `_` and `.`, the first a letter or digit.
pub fn name(name: &str) -> Result<&str, Refusal> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let good = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(allowed)
        && name.len() <= MAX_NAME_LEN;
    let remedy = format!(
        "use 1 to {MAX_NAME_LEN} ASCII letters, digits, `-`, `_` and `.`, a letter or digit first"
    );
    if good {
        Ok(name)
    } else {
        Err(Refusal::new("not a usable set name", remedy))
    }
}

fn positive_multiple(what: &str, value: i128, step: u32, max: u32) -> Result<u32, Refusal> {
    let step_wide = i128::from(step);
    if value > 0 && value % step_wide == 0 {
        return at_most(what, value, max);
    }
    let message = format!("{what} = {value} is not a positive multiple of {step}");
    let below = value.clamp(0, i128::from(max)) / step_wide * step_wide;
    let remedy = match below {
        0 => format!("the smallest {what} is {step}"),
        _ if below == i128::from(max) => format!("the largest {what} is {max}"),
        _ => format!("pad {what} to {}, or use {below}", below + step_wide),
    };
    Err(Refusal::new(message, remedy))
}

fn at_most(what: &str, value: i128, max: u32) -> Result<u32, Refusal> {
    match u32::try_from(value) {
        Ok(value) if value <= max => Ok(value),
        _ => Err(Refusal::new(
            format!("{what} = {value} is too large"),
            format!("the largest {what} is {max}"),
        )),
    }
}
