//! Prints the nanoseconds per output element and K = 64 step of the block-scaled MMA.

use std::time::Instant;

use ptx_emulator::engine::descriptor::ScaleFormat;
use ptx_emulator::engine::mma::block_scaled::Tile;

fn main() {
    for (m, n) in [(128, 256), (128, 128), (128, 64), (128, 16)] {
        let bytes = |count: usize, seed: usize| -> Vec<u8> {
            (0..count).map(|i| ((i * 7919 + seed) >> 3) as u8).collect()
        };
        let (a, b) = (bytes(m * 32, 1), bytes(n * 32, 2));
        let scales_a: Vec<[u8; 4]> = (0..m).map(|i| [0x30 + (i % 16) as u8; 4]).collect();
        let scales_b: Vec<[u8; 4]> = (0..n).map(|i| [0x34 + (i % 8) as u8; 4]).collect();
        let tile = Tile {
            a: &a,
            b: &b,
            scales_a: &scales_a,
            scales_b: &scales_b,
            format: ScaleFormat::Ue4m3,
        };
        let mut d = vec![0; 128 * 512];
        let repeats = 40_000_000 / (m * n);
        let start = Instant::now();
        for step in 0..repeats {
            tile.multiply(&mut d, 512, step % 64 != 0);
        }
        let per_step = start.elapsed().as_secs_f64() * 1e9 / (repeats * m * n) as f64;
        println!(
            "{m} x {n}: {per_step:.3} ns per element step (check {:#x})",
            d[5]
        );
    }
}
