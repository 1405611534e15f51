//! The insides of a kernel in words.

use super::Kernel;
use std::fmt;

impl Kernel {
    /// Stages and accumulators in one line.
    pub(in crate::plan) fn summary(&self) -> String {
        let rings = &self.shared.rings;
        let least = |of: &dyn Fn(&super::shared_memory::Ring) -> u32| rings.iter().map(of).min();
        let most = |of: &dyn Fn(&super::shared_memory::Ring) -> u32| rings.iter().map(of).max();
        format!(
            "stages: {} of {} bytes, accumulators: {} in {} columns{}{}",
            range(least(&|r| r.stages), most(&|r| r.stages)),
            range(least(&|r| r.pitch), most(&|r| r.pitch)),
            self.tensor.accumulators,
            self.tensor.weight_scales,
            self.choices.together(),
            match self.prefetches.len() as u32 * self.choices.side_by_side() {
                0 => String::new(),
                ctas => format!(", {ctas} more that prefetch weights"),
            }
        )
    }

    /// Choices, shared and tensor memory, region by region.
    pub(in crate::plan) fn print_memories(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (c, s, t) = (&self.choices, &self.shared, &self.tensor);
        writeln!(
            f,
            "order {:?}, hints: weights {:?}, tokens {:?}",
            c.order, c.weights_hint, c.tokens_hint
        )?;
        let ends = self.prefetches.concat();
        if !ends.is_empty() {
            let blocks: u32 = ends.iter().map(|end| end.part.k_blocks).sum();
            let (ends, ctas) = (ends.len(), self.prefetches.len());
            writeln!(
                f,
                "prefetched into L2: {blocks} K blocks of weights at the end of {ends} tiles, by {ctas} workers without tiles"
            )?;
        }
        writeln!(f, "shared memory: {} bytes", s.bytes)?;
        let mut rings: Vec<_> = s
            .rings
            .iter()
            .map(|r| (r.rows, r.stages, r.pitch))
            .collect();
        rings.sort_unstable();
        for same in rings.chunk_by(|a, b| a == b) {
            let (rows, stages, pitch) = same[0];
            let ctas = same.len();
            writeln!(
                f,
                "       0  stages: {stages} of {pitch} bytes for {rows} tokens, in {ctas} CTAs"
            )?;
        }
        writeln!(
            f,
            "          weights 0, weight scales {}",
            s.stage.weight_scales
        )?;
        writeln!(
            f,
            "          token scales {}, tokens {}",
            s.stage.token_scales, s.stage.tokens
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
        let soonest = t.places.iter().filter_map(|p| p.after).min();
        let reuse = soonest.map_or("never used again".to_owned(), |ago| {
            format!("used again after {ago} tiles at the soonest")
        });
        writeln!(
            f,
            "       0  accumulators: at most {}, {reuse}",
            t.accumulators
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

/// `4`, or `4 to 8`.
fn range(least: Option<u32>, most: Option<u32>) -> String {
    match (least, most) {
        (Some(least), Some(most)) if least < most => format!("{least} to {most}"),
        (_, most) => most.unwrap_or(0).to_string(),
    }
}
