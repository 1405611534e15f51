//! A plan in words, for people and for review.

use super::Plan;
use crate::artifact::Location;
use std::fmt;

impl Plan {
    /// The plan in one line.
    pub fn summary(&self) -> String {
        let s = &self.shared;
        format!(
            "tiles: {}, CTAs: {}, stages: {} of {} bytes, accumulators: {} of {} columns",
            self.schedule.tiles.len(),
            self.schedule.ctas.len(),
            s.stages,
            s.stage.bytes,
            self.tensor.accumulators,
            self.tensor.pitch
        )
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "set {} on {}", self.set.name, self.target)?;
        writeln!(f, "key {}", self.set.key())?;
        self.print_tiles(f)?;
        self.print_schedule(f)?;
        self.print_memories(f)?;
        self.print_launch(f)
    }
}

impl Plan {
    fn print_tiles(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\ngroup       m       n       k  weight tiles  K blocks  tail steps  token tiles (first+rows/width)"
        )?;
        for (index, t) in self.tilings.iter().enumerate() {
            let tiles: Vec<_> = self
                .token_tiles
                .iter()
                .filter(|tile| tile.tiling == index)
                .map(|tile| format!("{}+{}/{}", tile.first, tile.rows, tile.width))
                .collect();
            writeln!(
                f,
                "{:>5} {:>7} {:>7} {:>7} {:>13} {:>9} {:>11}  {}",
                t.group,
                t.m,
                t.n,
                t.k,
                t.weight_tiles,
                t.k_blocks,
                t.tail_steps,
                tiles.join(" ")
            )?;
        }
        Ok(())
    }

    fn print_schedule(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lengths = || self.schedule.ctas.iter().map(|r| r.end - r.start);
        writeln!(
            f,
            "\nschedule: tiles {}, CTAs {}, {} to {} tiles each",
            self.schedule.tiles.len(),
            self.schedule.ctas.len(),
            lengths().min().unwrap_or(0),
            lengths().max().unwrap_or(0)
        )
    }

    fn print_memories(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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

    fn print_launch(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (l, p) = (&self.launch, &self.parameters);
        let columns: Vec<_> = self
            .constants
            .table
            .columns
            .iter()
            .map(|c| c.name)
            .collect();
        writeln!(
            f,
            "table: {}",
            if columns.is_empty() {
                "nothing differs".to_owned()
            } else {
                columns.join(", ")
            }
        )?;
        writeln!(
            f,
            "{}: {} bytes, {} maps, {} pointers",
            match p.location {
                Location::Parameter => "parameter block",
                Location::Device => "table in device memory",
            },
            p.bytes,
            p.tensor_maps.len(),
            p.pointers.len()
        )?;
        writeln!(
            f,
            "launch: grid {:?} block {:?} cluster {:?}",
            l.grid, l.block, l.cluster
        )
    }
}
