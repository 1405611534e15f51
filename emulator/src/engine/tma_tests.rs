use super::super::tensor_map::L2Promotion;
use super::*;
use std::convert::Infallible;

const WINDOW: u32 = 64 << 10;

fn map(
    element: ElementType,
    dims: &[u64],
    strides: &[u64],
    box_dims: &[u32],
    swizzle: Swizzle,
) -> TensorMap {
    let mut map = TensorMap {
        address: 0x1000,
        rank: dims.len(),
        element,
        dims: [1; 5],
        strides: [0; 4],
        box_dims: [1; 5],
        element_strides: [1; 5],
        interleave: Interleave::None,
        swizzle,
        fill: Fill::Zero,
        l2_promotion: L2Promotion::None,
        im2col: None,
    };
    map.dims[..dims.len()].copy_from_slice(dims);
    map.strides[..strides.len()].copy_from_slice(strides);
    map.box_dims[..box_dims.len()].copy_from_slice(box_dims);
    assert_eq!(map.check(), Ok(()));
    map
}

/// Global memory in which no two nearby bytes are equal.
fn byte_at(address: u64) -> u8 {
    (address.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

fn load(copy: &BoxCopy) -> Vec<u8> {
    let mut shared = vec![0xAA; WINDOW as usize];
    let read = |address: u64, to: &mut [u8]| -> Result<(), Infallible> {
        to.iter_mut()
            .zip(address..)
            .for_each(|(byte, at)| *byte = byte_at(at));
        Ok(())
    };
    copy.load(&mut shared, read).unwrap();
    shared
}

/// Every byte of a 5-dimensional box that sticks out on both sides, against the definition.
#[test]
fn five_dimensions_match_the_definition() {
    let dims = [20, 7, 5, 3, 4];
    let strides = [48, 336, 1680, 5040];
    let box_dims = [16, 3, 2, 2, 2];
    let map = map(ElementType::U16, &dims, &strides, &box_dims, Swizzle::B32);
    let from = [-3, 5, -1, 2, 3];
    let base = 0x480;
    let copy = BoxCopy::tiled(&map, &from, base, WINDOW, Direction::Load).unwrap();
    let shared = load(&copy);
    assert_eq!(copy.transaction_bytes(), 32 * 24);
    for linear in 0..24 * 32 {
        let mut rest = linear / 2;
        let index: Vec<i64> = (0..5)
            .map(|d| {
                let i = rest % box_dims[d];
                rest /= box_dims[d];
                i64::from(i) + i64::from(from[d])
            })
            .collect();
        let inside = (0..5).all(|d| index[d] >= 0 && (index[d] as u64) < dims[d]);
        let offset = (1..5)
            .map(|d| index[d] * strides[d - 1] as i64)
            .sum::<i64>()
            + index[0] * 2;
        let expected = if inside {
            byte_at((0x1000 + offset) as u64 + u64::from(linear % 2))
        } else {
            0
        };
        assert_eq!(
            shared[Swizzle::B32.apply(base + linear) as usize],
            expected,
            "byte {linear}"
        );
    }
    assert!(
        shared[..base as usize]
            .iter()
            .chain(&shared[base as usize + 768..])
            .all(|&b| b == 0xAA)
    );
}

#[test]
fn swizzled_rows_and_packed_fp4_agree_with_bytes() {
    let packed = map(
        ElementType::B4x16,
        &[768, 100],
        &[384],
        &[256, 128],
        Swizzle::B128,
    );
    let bytes = map(
        ElementType::U8,
        &[384, 100],
        &[384],
        &[128, 128],
        Swizzle::B128,
    );
    let a = BoxCopy::tiled(&packed, &[512, 64], 2048, WINDOW, Direction::Load).unwrap();
    let b = BoxCopy::tiled(&bytes, &[256, 64], 2048, WINDOW, Direction::Load).unwrap();
    assert_eq!(load(&a), load(&b));
    assert_eq!((a.transaction_bytes(), a.shared_bytes()), (16384, 16384));
    let shared = load(&b);
    let (row, column) = (5, 37);
    let at = 2048 + row * 128 + ((column / 16) ^ (row % 8)) * 16 + column % 16;
    assert_eq!(
        shared[at],
        byte_at(0x1000 + (64 + row as u64) * 384 + 256 + column as u64)
    );
    assert_eq!(shared[2048 + 36 * 128..2048 + 128 * 128], vec![0; 92 * 128]);
}

#[test]
fn unswizzled_rows_are_copied_whole() {
    let map = map(ElementType::U8, &[1 << 20], &[], &[256], Swizzle::None);
    let copy = BoxCopy::tiled(&map, &[512], 128, WINDOW, Direction::Load).unwrap();
    let pieces: Vec<_> = copy.pieces().collect();
    assert_eq!(
        pieces,
        [Piece {
            global: Some(0x1200),
            shared: 128,
            len: 256
        }]
    );
}

#[test]
fn padded_fp4_spreads_groups_of_sixteen() {
    let map = map(
        ElementType::B4x16P64,
        &[256, 8],
        &[128],
        &[128, 4],
        Swizzle::B128,
    );
    let copy = BoxCopy::tiled(&map, &[128, 6], 0, WINDOW, Direction::Load).unwrap();
    assert_eq!((copy.transaction_bytes(), copy.shared_bytes()), (256, 512));
    let shared = load(&copy);
    for row in 0..4u32 {
        for group in 0..8u32 {
            let at = Swizzle::B128.apply(row * 128 + group * 16) as usize;
            let from = 0x1000 + (6 + u64::from(row)) * 128 + 64 + u64::from(group) * 8;
            for i in 0..8 {
                let expected = if row < 2 { byte_at(from + i) } else { 0 };
                assert_eq!(shared[at + i as usize], expected);
            }
            assert_eq!(shared[at + 8..at + 16], [0xAA; 8]);
        }
    }
}

#[test]
fn stores_are_clipped_and_never_start_before_the_tensor() {
    let map = map(ElementType::F16, &[72, 10], &[160], &[64, 8], Swizzle::B128);
    let copy = BoxCopy::tiled(&map, &[64, 5], 1024, WINDOW, Direction::Store).unwrap();
    let shared: Vec<u8> = (0..WINDOW).map(|i| byte_at(u64::from(i))).collect();
    let mut written = Vec::new();
    let write = |address: u64, from: &[u8]| -> Result<(), Infallible> {
        written.push((address, from.to_vec()));
        Ok(())
    };
    copy.store(&shared, write).unwrap();
    assert_eq!(written.len(), 5);
    for (row, (address, data)) in written.iter().enumerate() {
        assert_eq!(*address, 0x1000 + (5 + row as u64) * 160 + 128);
        let at = 1024 + row * 128 + (row % 8) * 16;
        assert_eq!(data[..], shared[at..at + 16]);
    }
    let refused = BoxCopy::tiled(&map, &[0, -1], 1024, WINDOW, Direction::Store).unwrap_err();
    assert_eq!(
        refused,
        TmaError::NegativeStoreCoordinate { dim: 1, value: -1 }
    );
}

#[test]
fn gather_and_scatter_take_four_rows() {
    let map = map(
        ElementType::Bf16,
        &[128, 50],
        &[256],
        &[64, 1],
        Swizzle::B128,
    );
    let coordinates = [64, 7, 49, 50, -1];
    let copy = BoxCopy::four_rows(&map, &coordinates, 0, WINDOW, Direction::Load).unwrap();
    let shared = load(&copy);
    assert_eq!(copy.transaction_bytes(), 512);
    for (i, &row) in coordinates[1..].iter().enumerate() {
        for column in 0..128 {
            let at = Swizzle::B128.apply((i * 128 + column) as u32) as usize;
            let inside = (0..50).contains(&row);
            let address = (0x1000 + i64::from(row) * 256 + 128 + column as i64) as u64;
            assert_eq!(shared[at], if inside { byte_at(address) } else { 0 });
        }
    }
    let copy = BoxCopy::four_rows(&map, &coordinates, 0, WINDOW, Direction::Store).unwrap();
    assert_eq!(copy.pieces().map(|p| p.len).sum::<u32>(), 256);
}

#[test]
fn nan_fill_is_a_nan_in_every_element() {
    for (element, size) in [
        (ElementType::F16, 2),
        (ElementType::Bf16, 2),
        (ElementType::F32, 4),
        (ElementType::F64, 8),
    ] {
        let mut map = map(element, &[64], &[], &[32], Swizzle::None);
        map.fill = Fill::Nan;
        let copy = BoxCopy::tiled(&map, &[48], 0, WINDOW, Direction::Load).unwrap();
        let shared = load(&copy);
        let mut expected = vec![0xFF; size];
        expected[size - 1] = 0x7F;
        assert_eq!(shared[16 * size..32 * size], expected.repeat(16));
        assert_eq!(shared[0], byte_at(0x1000 + 48 * size as u64));
    }
}

#[test]
fn refusals() {
    let good = map(
        ElementType::U8,
        &[256, 64],
        &[256],
        &[128, 8],
        Swizzle::B128,
    );
    let tiled = |map: &TensorMap, coordinates: &[i32], shared| {
        BoxCopy::tiled(map, coordinates, shared, 4096, Direction::Load)
            .map(|_| ())
            .unwrap_err()
    };
    assert_eq!(
        tiled(&good, &[0], 0),
        TmaError::CoordinateCount { given: 1, rank: 2 }
    );
    assert_eq!(tiled(&good, &[0, 0], 64), TmaError::SharedAlignment(64));
    let bounds = TmaError::SharedBounds {
        start: 3200,
        end: 4224,
        window: 4096,
    };
    assert_eq!(tiled(&good, &[0, 0], 3200), bounds);
    let packed = map(ElementType::B4x16, &[256], &[], &[128], Swizzle::None);
    assert_eq!(
        tiled(&packed, &[3], 0),
        TmaError::PackedCoordinate {
            column: 3,
            multiple: 2
        }
    );
    let atoms = Swizzle::B128Atom32;
    let narrow = map(ElementType::U8, &[256, 64], &[256], &[64, 8], atoms);
    assert!(matches!(
        tiled(&narrow, &[0, 0], 0),
        TmaError::Unsupported(_)
    ));
    let odd = TensorMap {
        box_dims: [40, 8, 1, 1, 1],
        swizzle: Swizzle::None,
        ..good.clone()
    };
    assert_eq!(tiled(&odd, &[0, 0], 0), TmaError::InnerBox(40));
    let four = BoxCopy::four_rows(&good, &[0; 5], 0, 4096, Direction::Load).unwrap_err();
    assert_eq!(four, TmaError::FourRowsMap { rank: 2, rows: 8 });
}

/// Every third row of a box of eight: rows 1, 4 and 7 from row 1 on, the last of which is outside of six.
#[test]
fn a_box_is_walked_in_steps() {
    let every_third = TensorMap {
        element_strides: [1, 3, 1, 1, 1],
        ..map(ElementType::U8, &[64, 6], &[64], &[32, 8], Swizzle::None)
    };
    let copy = BoxCopy::tiled(&every_third, &[16, 1], 128, 4096, Direction::Load).unwrap();
    let pieces: Vec<_> = copy.pieces().map(|p| (p.global, p.shared)).collect();
    let at = |row: u64| every_third.address + 64 * row + 16;
    assert_eq!(
        pieces,
        [(Some(at(1)), 128), (Some(at(4)), 160), (None, 192)]
    );
    assert_eq!(copy.transaction_bytes(), 96);
}

/// Where an H200 put the 16-byte units of boxes that are narrower than their swizzle: row and unit, or nothing.
#[test]
fn narrow_rows_are_as_far_apart_as_whole_ones() {
    let placed = |words: u32, swizzle| {
        let map = map(ElementType::U32, &[64, 16], &[256], &[words, 8], swizzle);
        let copy = BoxCopy::tiled(&map, &[0, 0], 1024, WINDOW, Direction::Load).unwrap();
        assert_eq!(copy.transaction_bytes(), words * 32);
        let mut units = vec!["-".to_string(); copy.shared_bytes() as usize / 16];
        for piece in copy.pieces() {
            let from = (piece.global.unwrap() - 0x1000) / 16;
            for i in 0..piece.len / 16 {
                let at = from + u64::from(i);
                units[((piece.shared - 1024) / 16 + i) as usize] =
                    format!("{}.{}", at / 16, at % 16);
            }
        }
        let image = copy.image().into_iter();
        let covered: u32 = image
            .map(|(at, len)| {
                let written = &units[at as usize / 16..][..len as usize / 16];
                assert!(written.iter().all(|u| u != "-"));
                len
            })
            .sum();
        assert_eq!(covered, words * 32);
        units.join(" ")
    };
    assert_eq!(
        placed(4, Swizzle::B32),
        "0.0 - 1.0 - 2.0 - 3.0 - - 4.0 - 5.0 - 6.0 - 7.0"
    );
    assert_eq!(
        placed(12, Swizzle::B64),
        "0.0 0.1 0.2 - 1.0 1.1 1.2 - 2.1 2.0 - 2.2 3.1 3.0 - 3.2 \
         4.2 - 4.0 4.1 5.2 - 5.0 5.1 - 6.2 6.1 6.0 - 7.2 7.1 7.0"
    );
    assert_eq!(
        placed(20, Swizzle::B128),
        "0.0 0.1 0.2 0.3 0.4 - - - 1.1 1.0 1.3 1.2 - 1.4 - - 2.2 2.3 2.0 2.1 - - 2.4 - 3.3 3.2 3.1 3.0 - - - 3.4 \
         4.4 - - - 4.0 4.1 4.2 4.3 - 5.4 - - 5.1 5.0 5.3 5.2 - - 6.4 - 6.2 6.3 6.0 6.1 - - - 7.4 7.3 7.2 7.1 7.0"
    );
}
