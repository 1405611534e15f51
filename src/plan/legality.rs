//! The rules a plan must keep, by name.

use super::Target;
use super::tiling::Widths;
use crate::problem::Set;
use std::fmt;

/// Most columns of one tensor-core operation, and rows of a tensor map's box.
const MAX_WIDTH: u32 = 256;

/// A rule that choices can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The ring needs at least two stages beside staging buffers and barriers.
    SharedMemory,
    /// Accumulators and one K block's scales must fit the columns of tensor memory.
    TensorMemory,
    /// Token tiles are 16 to 256 wide, in steps of 16, and start at multiples of the target's step.
    TokenWidth,
    /// A K block is as long as one of the target's shared-memory layouts is wide.
    KBlock,
    /// The epilogue takes 16, 32 or 64 columns at a time.
    Chunk,
    /// Two CTAs that multicast token scales to each other take half of a K block's steps each.
    Multicast,
    /// A sum over K is cut into parts of at least one K block, by CTAs that do not stand side by side.
    SplitK,
    /// The parts of split sums must have room where they are brought together.
    Exchange,
    /// Prefetching takes SMs without tiles, and weights that the first rings do not hold.
    Prefetch,
    /// Scale arrays are addressed with 32-bit byte offsets.
    ScaleBytes,
    /// Tensor-map coordinates are signed 32-bit numbers.
    Coordinates,
}

impl Rule {
    /// The rule's name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Rule::SharedMemory => "shared-memory",
            Rule::TensorMemory => "tensor-memory",
            Rule::TokenWidth => "token-width",
            Rule::KBlock => "k-block",
            Rule::Chunk => "chunk",
            Rule::Multicast => "multicast",
            Rule::SplitK => "split-k",
            Rule::Exchange => "exchange",
            Rule::Prefetch => "prefetch",
            Rule::ScaleBytes => "scale-bytes",
            Rule::Coordinates => "coordinates",
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Rule::SharedMemory | Rule::TensorMemory => {
                "choose narrower token tiles or fewer accumulators"
            }
            Rule::TokenWidth => {
                "choose a multiple of 16, or of the target's step where a group has several token tiles"
            }
            Rule::KBlock => "choose 128, 256 or 512",
            Rule::Chunk => "choose 16, 32 or 64",
            Rule::Multicast => "choose a K block of 128 or more, or no multicast",
            Rule::SplitK => "choose fewer parts",
            Rule::Exchange => "choose narrower token tiles or fewer parts",
            Rule::Prefetch => "choose fewer CTAs, or no prefetch",
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

/// Widths for which tiles start where token scales can be addressed.
pub(super) fn check_widths(set: &Set, widths: &Widths, target: &Target) -> Result<(), Illegal> {
    let refuse = |detail| Err(Illegal::new(Rule::TokenWidth, detail));
    let grain = target.token_grain;
    match widths {
        Widths::UpTo(most) if *most < target.token_start_step || *most > MAX_WIDTH => {
            refuse(format!("token tiles of up to {most}"))
        }
        Widths::UpTo(_) => Ok(()),
        Widths::Each(widths) if widths.len() != set.groups.len() => {
            let (given, groups) = (widths.len(), set.groups.len());
            refuse(format!("{given} widths for {groups} groups"))
        }
        Widths::Each(widths) => {
            for (index, (group, &width)) in set.groups.iter().zip(widths).enumerate() {
                let m = group.m;
                let grain = if m > width {
                    target.token_start_step
                } else {
                    grain
                };
                if m > 0 && (width == 0 || width > MAX_WIDTH || width % grain != 0) {
                    return refuse(format!("group {index} of {m} tokens in tiles of {width}"));
                }
            }
            Ok(())
        }
    }
}
