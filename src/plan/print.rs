//! A plan in words, for people and for review.

use super::{Plan, TargetPlan};
use crate::artifact::Location;
use std::fmt;

impl Plan {
    /// The plan in one line.
    pub fn summary(&self) -> String {
        let inside = match &self.kernel {
            TargetPlan::Sm100a(kernel) => kernel.summary(),
            TargetPlan::Sm90a(kernel) => kernel.summary(),
        };
        format!(
            "tiles: {}, CTAs: {}, {inside}",
            self.schedule.tiles.len(),
            self.schedule.ctas.len(),
        )
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "set {} on {}", self.set.name, self.target)?;
        writeln!(f, "key {}", self.set.key())?;
        self.print_tiles(f)?;
        self.print_schedule(f)?;
        match &self.kernel {
            TargetPlan::Sm100a(kernel) => kernel.print_memories(f)?,
            TargetPlan::Sm90a(kernel) => kernel.print_memories(f)?,
        }
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

    fn print_launch(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (l, p) = (&self.launch, &self.parameters);
        let columns: Vec<_> = self.table.columns.iter().map(|c| c.name).collect();
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
