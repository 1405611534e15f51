use super::*;
use crate::engine::descriptor::{CtaGroup, SharedMatrix};
use crate::engine::swizzle::Swizzle;
use std::collections::HashSet;

fn allocated(columns: u32) -> TensorMemory {
    let mut memory = TensorMemory::new();
    assert_eq!(memory.allocate(columns), Ok(Some(0)));
    memory
}

fn numbered() -> TensorMemory {
    let mut memory = allocated(512);
    for lane in 0..LANES {
        for (column, cell) in memory.row_mut(lane, 0).iter_mut().enumerate() {
            *cell = (lane << 16 | column) as u32;
        }
    }
    memory
}

#[test]
fn allocations_are_aligned_and_block_when_full() {
    let mut memory = TensorMemory::new();
    assert_eq!(memory.allocate(128), Ok(Some(0)));
    assert_eq!(memory.allocate(32), Ok(Some(128)));
    assert_eq!(
        memory.allocate(256),
        Err(TensorMemoryError::GrowingAllocation {
            columns: 256,
            earlier: 32
        })
    );
    for columns in [0, 16, 48, 1024] {
        assert_eq!(
            memory.allocate(columns),
            Err(TensorMemoryError::AllocationSize(columns))
        );
    }
    let mut memory = TensorMemory::new();
    assert_eq!(memory.allocate(256), Ok(Some(0)));
    assert_eq!(memory.allocate(256), Ok(Some(256)));
    assert_eq!(memory.allocate(32), Ok(None));
    let mismatch = TensorMemoryError::NotAllocatedLikeThis {
        address: 0,
        columns: 512,
    };
    assert_eq!(memory.deallocate(0, 512), Err(mismatch));
    assert_eq!(memory.deallocate(0, 256), Ok(()));
    assert_eq!(memory.allocations(), [(256, 256)]);
    memory.relinquish();
    assert_eq!(
        memory.allocate(32),
        Err(TensorMemoryError::AllocationAfterRelinquish)
    );
}

/// Every shape reaches every cell of its rectangle once, and a store is the inverse of a load.
#[test]
fn shapes_cover_their_rectangles() {
    let shapes = [
        (AccessShape::S32x32b, 32, 1),
        (AccessShape::S16x64b, 16, 2),
        (AccessShape::S16x128b, 16, 4),
        (AccessShape::S16x256b, 16, 8),
        (AccessShape::S16x32bx2 { offset: 8 }, 16, 1),
    ];
    for (shape, lanes, columns) in shapes {
        for repeat in [1, 2, 4, 8] {
            let access = Access::new(shape, repeat, false).unwrap();
            let base = 64 << 16 | 40;
            let mut registers = vec![0; access.registers() * 32];
            numbered().load(&access, base, 2, &mut registers).unwrap();
            let halves = if matches!(shape, AccessShape::S16x32bx2 { .. }) {
                2
            } else {
                1
            };
            let expected: HashSet<u32> = (0..lanes)
                .flat_map(|l| (0..columns * repeat).map(move |c| (64 + l) << 16 | (40 + c)))
                .flat_map(|cell| (0..halves).map(move |half| cell + half * 8))
                .collect();
            assert_eq!(
                registers.iter().copied().collect::<HashSet<_>>(),
                expected,
                "{shape:?} x{repeat}"
            );
            assert_eq!(registers.len(), expected.len());
            let mut copy = allocated(512);
            copy.store(&access, base, 2, &registers).unwrap();
            let mut again = vec![0; registers.len()];
            copy.load(&access, base, 2, &mut again).unwrap();
            assert_eq!(again, registers);
        }
    }
}

/// 16x256b is the accumulator fragment of mma.sync: pairs of neighbouring columns, rows 8 apart.
#[test]
fn the_fragment_order_of_16x256b() {
    let access = Access::new(AccessShape::S16x256b, 2, false).unwrap();
    let mut registers = vec![0; 256];
    numbered()
        .load(&access, 16 << 16, 0, &mut registers)
        .unwrap();
    let register =
        |i: usize, t: usize| (registers[i * 32 + t] >> 16, registers[i * 32 + t] & 0xFFFF);
    assert_eq!(register(0, 5), (17, 2));
    assert_eq!(register(1, 5), (17, 3));
    assert_eq!(register(2, 5), (25, 2));
    assert_eq!(register(4, 5), (17, 10));
}

#[test]
fn packing_joins_low_halves() {
    let access = Access::new(AccessShape::S32x32b, 4, true).unwrap();
    let mut memory = numbered();
    let mut registers = vec![0; 128];
    memory
        .load(&access, 32 << 16 | 8, 1, &mut registers)
        .unwrap();
    assert_eq!(registers[2 * 32 + 7], 12 | (13 << 16));
    memory
        .store(&access, 32 << 16 | 100, 1, &registers)
        .unwrap();
    assert_eq!(memory.cell(32 + 7, 104), Some(12));
    assert_eq!(memory.cell(32 + 7, 105), Some(13));
}

#[test]
fn accesses_refused() {
    use TensorMemoryError as E;
    let memory = allocated(64);
    let x32 = Access::new(AccessShape::S32x32b, 32, false).unwrap();
    let load = |access: &Access, address, warp, registers| {
        memory.load(access, address, warp, &mut vec![0; registers])
    };
    assert_eq!(
        load(&x32, 0, 1, 1024),
        Err(E::WarpLanes { warp: 1, lane: 0 })
    );
    assert_eq!(
        load(&x32, 16 << 16, 0, 1024),
        Err(E::WarpLanes { warp: 0, lane: 16 })
    );
    assert_eq!(
        load(&x32, 0, 0, 32),
        Err(E::RegisterCount {
            given: 32,
            needed: 1024
        })
    );
    assert_eq!(
        load(&x32, 40, 4, 1024),
        Err(E::ColumnNotAllocated {
            column: 64,
            first: 40,
            count: 32
        })
    );
    let half = Access::new(AccessShape::S16x64b, 1, false).unwrap();
    assert_eq!(
        load(&half, 8 << 16, 0, 32),
        Err(E::LaneAlignment {
            lane: 8,
            alignment: 16
        })
    );
    assert_eq!(
        load(&half, 0xFFFF, 0, 32),
        Err(E::ColumnNotAllocated {
            column: 65535,
            first: 65535,
            count: 2
        })
    );
    let far = Access::new(AccessShape::S16x32bx2 { offset: 64 }, 1, false).unwrap();
    assert_eq!(
        load(&far, 0, 0, 32),
        Err(E::ColumnNotAllocated {
            column: 64,
            first: 64,
            count: 1
        })
    );
    let shape = AccessShape::S16x256b;
    assert_eq!(
        Access::new(shape, 64, false),
        Err(E::Repeat { shape, repeat: 64 })
    );
    assert_eq!(
        Access::new(shape, 3, false),
        Err(E::Repeat { shape, repeat: 3 })
    );
}

/// Row r of the source is filled with r.
fn copied(shape: CopyShape, rows: usize, row_bytes: usize, address: u32) -> TensorMemory {
    let mut shared = vec![0; 8192];
    let leading = (rows * 16) as u32;
    for row in 0..rows {
        for byte in 0..row_bytes {
            let at = 1024 + row / 8 * 128 + row % 8 * 16 + byte / 16 * rows * 16 + byte % 16;
            shared[at] = if byte % 4 == 0 {
                row as u8
            } else {
                (byte / 4) as u8
            };
        }
    }
    let matrix = SharedMatrix {
        start: 1024,
        leading,
        stride: 128,
        swizzle: Swizzle::None,
    };
    let mut memory = allocated(64);
    memory
        .copy(shape, address, &shared, &matrix, false)
        .unwrap();
    memory
}

#[test]
fn copies_reach_the_lanes_of_their_shape() {
    let word = |row: usize, column: u32| Some(row as u32 | (column * 0x0101_0100));
    type Row = fn(usize) -> usize;
    let shapes: [(CopyShape, usize, usize, Row); 5] = [
        (CopyShape::S128x256b, 128, 32, |lane| lane),
        (CopyShape::S128x128b, 128, 16, |lane| lane),
        (CopyShape::S64x128bWarpx2_02_13, 64, 16, |lane| lane % 64),
        (CopyShape::S64x128bWarpx2_01_23, 64, 16, |lane| {
            lane / 64 * 32 + lane % 32
        }),
        (CopyShape::S32x128bWarpx4, 32, 16, |lane| lane % 32),
    ];
    for (shape, rows, row_bytes, row_of) in shapes {
        let memory = copied(shape, rows, row_bytes, 20);
        for lane in 0..LANES {
            for column in 0..row_bytes as u32 / 4 {
                assert_eq!(
                    memory.cell(lane, 20 + column as usize),
                    word(row_of(lane), column),
                    "{shape:?}"
                );
            }
            assert_eq!(memory.cell(lane, 20 + row_bytes / 4), Some(POISON));
        }
    }
    let memory = copied(CopyShape::S4x256b, 4, 32, 31 << 16);
    for row in 0..4 {
        assert_eq!(memory.cell(32 * row + 31, 7), word(row, 7));
        assert_eq!(memory.cell(32 * row + 30, 7), Some(POISON));
    }
}

#[test]
fn scale_words_come_from_all_four_lane_groups() {
    let mut memory = numbered();
    for lane in 0..LANES {
        for column in 0..8 {
            memory.row_mut(lane, 16 + column)[0] = (column as usize * 32 + lane % 32) as u32;
        }
    }
    let source = ScaleSource {
        address: 2 << 30 | 16,
        rows: 240,
        halved: false,
    };
    assert_eq!(memory.scale_words(source), Ok((0..240).collect()));
    memory.row_mut(64 + 5, 18)[0] = 99;
    let difference = TensorMemoryError::ScaleCopiesDiffer {
        row: 69,
        column: 18,
        lane: 5,
        word: 69,
        other_lane: 69,
        other_word: 99,
    };
    assert_eq!(memory.scale_words(source), Err(difference));
}

#[test]
fn halved_scales_lie_in_the_lanes_of_their_half() {
    let mut memory = numbered();
    for lane in 0..LANES {
        memory.row_mut(lane, 16)[0] = (lane / 64 * 48 + lane % 32) as u32;
        memory.row_mut(lane, 17)[0] = (lane / 64 * 48 + 32 + lane % 32) as u32;
    }
    let source = ScaleSource {
        address: 16,
        rows: 96,
        halved: true,
    };
    assert_eq!(memory.scale_words(source), Ok((0..96).collect()));
    memory.row_mut(96 + 5, 16)[0] = 99;
    assert!(memory.scale_words(source).is_err());
}

#[test]
fn accumulators_fill_their_rectangles() {
    for (group, m, n, ctas, lanes, columns) in [
        (CtaGroup::One, 128, 96, 1, 128, 96),
        (CtaGroup::One, 64, 96, 1, 64, 96),
        (CtaGroup::Two, 256, 64, 2, 128, 64),
        (CtaGroup::Two, 128, 64, 2, 128, 32),
    ] {
        let cells: HashSet<_> = (0..m)
            .flat_map(|i| (0..n).map(move |j| accumulator_cell(group, m, n, i, j)))
            .collect();
        assert_eq!(cells.len(), ctas * lanes * columns);
        assert!(
            cells
                .iter()
                .all(|&(cta, lane, column)| cta < ctas && lane < LANES && column < columns)
        );
    }
    assert_eq!(
        accumulator_cell(CtaGroup::Two, 128, 64, 70, 40),
        (1, 6 + 64, 8)
    );
    assert_eq!(accumulator_cell(CtaGroup::One, 64, 8, 17, 3), (0, 33, 3));
}
