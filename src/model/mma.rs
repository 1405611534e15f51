//! Cycles of the tensor core.

use super::machine::Machine;
use super::workload::{Mma, Tile};

/// Rows of an operand of one K = 64 step have 32 bytes; shared memory gives 128 bytes a cycle.
const ROW_BYTES: f64 = 32.0;
const SHARED_BYTES_PER_CYCLE: f64 = 128.0;

impl Mma {
    /// Cycles from one MMA to the next when both operands are in shared memory.
    ///
    /// The tensor core takes half a cycle a column for 128 rows, and reading both operands takes as long as their bytes.
    /// This meets SA's 18 measured points within 4.3 cycles, and within 1.6 but for pairs of 256 rows and at most 80
    /// columns. Fewer than 64 columns were not measured; there the operand bytes bound the interval.
    pub fn interval(&self, machine: &Machine) -> f64 {
        let rows = f64::from(self.rows) / f64::from(self.ctas);
        let columns = f64::from(self.columns);
        let compute = 2.0 * 64.0 * rows * columns / machine.flops_per_cycle.value;
        let loaded = rows + columns / f64::from(self.ctas);
        compute.max(loaded * ROW_BYTES / SHARED_BYTES_PER_CYCLE)
    }
}

/// Microseconds that the tensor core is taken by one K = 64 step of the tile.
pub fn step_us(tile: &Tile, machine: &Machine) -> f64 {
    let multiply = f64::from(tile.mmas) * tile.mma.interval(machine);
    let scales = f64::from(tile.scale_copies) * machine.scale_copy_cycles.value;
    machine.cycles((multiply + scales).max(tile.dequantise_cycles))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::machine::B200;

    /// SA, `umma_throughput_tput_results_max.csv`, MXF4 with both operands in shared memory.
    const MEASURED: [(u32, u32, [f64; 6]); 3] = [
        (1, 128, [48.2, 52.2, 56.2, 60.2, 64.2, 128.2]),
        (2, 128, [25.2, 27.2, 29.2, 30.2, 32.2, 64.2]),
        (2, 256, [43.5, 46.2, 49.5, 56.2, 64.2, 128.2]),
    ];

    #[test]
    fn interval_meets_the_measurements() {
        for (ctas, rows, intervals) in MEASURED {
            for (columns, measured) in [64, 80, 96, 112, 128, 256].into_iter().zip(intervals) {
                let mma = Mma {
                    rows,
                    columns,
                    ctas,
                };
                let error = (mma.interval(&B200) - measured).abs();
                let allowed = if rows == 256 && columns <= 80 {
                    4.3
                } else {
                    1.6
                };
                assert!(
                    error < allowed,
                    "{mma:?}: {} against {measured}",
                    mma.interval(&B200)
                );
            }
        }
    }
}
