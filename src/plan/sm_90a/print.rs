//! The insides of a kernel in words.

use super::Kernel;
use std::fmt;

impl Kernel {
    /// Stages, slots and widths in one line.
    pub(in crate::plan) fn summary(&self) -> String {
        let s = &self.shared;
        let widths: Vec<_> = self.widths.iter().map(u32::to_string).collect();
        format!(
            "teams: {}, stages: {} of {} bytes, slots: {} of {} bytes, widths: {}",
            self.roles.teams,
            s.stages,
            s.stage.bytes,
            s.slots,
            s.slot_bytes,
            widths.join(" ")
        )
    }

    /// Shared memory, region by region.
    pub(in crate::plan) fn print_memories(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = &self.shared;
        writeln!(f, "shared memory: {} bytes", s.bytes)?;
        writeln!(
            f,
            "  {:>6}  stages: {} of {} bytes",
            0, s.stages, s.stage.bytes
        )?;
        writeln!(f, "          weights 0, tokens {}", s.stage.tokens)?;
        writeln!(
            f,
            "          weight scales {}, token scales {}",
            s.stage.weight_scales, s.stage.token_scales
        )?;
        writeln!(
            f,
            "  {:>6}  slots: {} of {} bytes",
            s.slots_at, s.slots, s.slot_bytes
        )?;
        if s.exchange < s.staging {
            writeln!(f, "  {:>6}  sums of the second team", s.exchange)?;
        }
        writeln!(
            f,
            "  {:>6}  staging, {} bytes a warp",
            s.staging, s.staging_bytes
        )?;
        writeln!(f, "  {:>6}  barriers: stage full", s.full)?;
        writeln!(f, "  {:>6}  barriers: stage empty", s.empty)?;
        writeln!(f, "  {:>6}  barriers: slot full", s.slot_full)?;
        writeln!(f, "  {:>6}  barriers: slot empty", s.slot_empty)
    }
}
