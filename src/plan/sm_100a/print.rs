//! The insides of a kernel in words.

use super::Kernel;
use std::fmt;

impl Kernel {
    /// Stages and accumulators in one line.
    pub(in crate::plan) fn summary(&self) -> String {
        let s = &self.shared;
        format!(
            "stages: {} of {} bytes, accumulators: {} of {} columns{}",
            s.stages,
            s.stage.bytes,
            self.tensor.accumulators,
            self.tensor.pitch,
            self.choices.together()
        )
    }

    /// Shared and tensor memory, region by region.
    pub(in crate::plan) fn print_memories(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (s, t) = (&self.shared, &self.tensor);
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
            "  {:>6}  staging, {} bytes a warp",
            s.staging, s.staging_bytes
        )?;
        writeln!(f, "  {:>6}  barriers: stage full", s.full)?;
        writeln!(f, "  {:>6}  barriers: stage empty", s.empty)?;
        writeln!(f, "  {:>6}  barriers: accumulator full", s.accumulator_full)?;
        writeln!(
            f,
            "  {:>6}  barriers: accumulator empty",
            s.accumulator_empty
        )?;
        writeln!(f, "tensor memory: {} columns", t.columns)?;
        writeln!(
            f,
            "  {:>6}  accumulators: {} of {} columns",
            0, t.accumulators, t.pitch
        )?;
        writeln!(
            f,
            "  {:>6}  weight scales, {} columns a step",
            t.weight_scales, t.weight_scale_step
        )?;
        writeln!(
            f,
            "  {:>6}  token scales, {} columns a step",
            t.token_scales, t.token_scale_step
        )
    }
}
