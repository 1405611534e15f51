//! The rules a plan must keep, by name.

use crate::problem::Set;
use std::fmt;

/// A rule that choices can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The ring needs at least two stages beside staging buffers and barriers.
    SharedMemory,
    /// Accumulators and one K block's scales must fit the columns of tensor memory.
    TensorMemory,
    /// Scale arrays are addressed with 32-bit byte offsets.
    ScaleBytes,
    /// Tensor-map coordinates are signed 32-bit numbers.
    Coordinates,
    /// Two CTAs that multicast token scales to each other take half of a K block's steps each.
    Multicast,
}

impl Rule {
    /// The rule's name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Rule::SharedMemory => "shared-memory",
            Rule::TensorMemory => "tensor-memory",
            Rule::ScaleBytes => "scale-bytes",
            Rule::Coordinates => "coordinates",
            Rule::Multicast => "multicast",
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Rule::SharedMemory | Rule::TensorMemory => {
                "choose narrower token tiles or fewer accumulators"
            }
            Rule::Multicast => "choose a K block of 128 or more, or no multicast",
            Rule::ScaleBytes | Rule::Coordinates => {
                "split the group into several groups of fewer rows"
            }
        }
    }
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Illegal {
    /// Which rule.
    pub rule: Rule,
    /// The numbers that break it.
    pub detail: String,
}

impl Illegal {
    pub(super) fn new(rule: Rule, detail: String) -> Self {
        Illegal { rule, detail }
    }
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rule `{}`: {}; {}",
            self.rule.name(),
            self.detail,
            self.rule.remedy()
        )
    }
}

impl std::error::Error for Illegal {}

/// Sizes for which the kernel's 32-bit address arithmetic is exact.
pub(super) fn check_sizes(set: &Set) -> Result<(), Illegal> {
    for (index, group) in set.groups.iter().enumerate() {
        for (rows, operand) in [(group.m, "token"), (group.n, "weight")] {
            if rows > i32::MAX as u32 - 256 {
                return Err(Illegal::new(
                    Rule::Coordinates,
                    format!("group {index} has {rows} {operand} rows"),
                ));
            }
            let scale_bytes = u64::from(rows).next_multiple_of(128) * u64::from(group.k / 16);
            if scale_bytes > u64::from(u32::MAX) {
                let detail = format!("group {index} has {scale_bytes} bytes of {operand} scales");
                return Err(Illegal::new(Rule::ScaleBytes, detail));
            }
        }
    }
    Ok(())
}
