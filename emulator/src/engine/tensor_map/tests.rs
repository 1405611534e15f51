use super::*;

fn plain() -> TensorMap {
    TensorMap {
        address: 0x5a00_0000_0000,
        rank: 2,
        element: B4x16,
        dims: [768, 128, 1, 1, 1],
        strides: [384, 0, 0, 0],
        box_dims: [256, 128, 1, 1, 1],
        element_strides: [1; 5],
        interleave: Interleave::None,
        swizzle: Swizzle::B128,
        fill: Fill::Zero,
        l2_promotion: L2Promotion::B128,
        im2col: None,
    }
}

fn bytes_of(hex: &str) -> Bytes {
    let mut bytes = [0; 128];
    for (i, pair) in hex.as_bytes().chunks(2).enumerate() {
        bytes[i] = u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    }
    bytes
}

/// Descriptors as CuTe's own host code packs them, addresses included (64 bytes; the rest is zero).
#[test]
fn encodes_what_cute_packs() {
    let nvfp4 = "00000000005a0000926504001800000000000000000000000000000000000000\
                 ff0200007f000000000000000000000000000000000000ff7f00000000000000";
    let scales = "00000000025a0000920004002000000000000000000000000000000000000000\
                  ff0000000b000000000000000000000000000000000000ff0300000000000000";
    let large = "00000000005a00001265240028000000000000000000000000000000000000003f010000\
                 ff0000000000000000000000000000000000003f7f00000000000000";
    let sf = TensorMap {
        address: 0x5a02_0000_0000,
        element: U16,
        dims: [256, 12, 1, 1, 1],
        strides: [512, 0, 0, 0],
        box_dims: [256, 4, 1, 1, 1],
        swizzle: Swizzle::None,
        ..plain()
    };
    let bf16 = TensorMap {
        element: Bf16,
        dims: [320, 256, 1, 1, 1],
        strides: [640, 0, 0, 0],
        box_dims: [64, 128, 1, 1, 1],
        ..plain()
    };
    for (map, hex) in [(plain(), nvfp4), (sf, scales), (bf16, large)] {
        assert_eq!(map.check(), Ok(()));
        assert_eq!(map.encode(), bytes_of(hex));
        assert_eq!(TensorMap::decode(&bytes_of(hex)), Ok(map));
    }
}

#[test]
fn every_field_survives_the_bytes() {
    for element in PTX_ORDER {
        for swizzle in [
            Swizzle::None,
            Swizzle::B32,
            Swizzle::B64,
            Swizzle::B128,
            Swizzle::B128Atom32,
        ] {
            let map = TensorMap {
                element,
                swizzle,
                rank: 5,
                dims: [1 << 32, 2, 3, 4, 5],
                strides: [16, 1 << 39, 0xF_FFFF_FFF0, 48],
                box_dims: [256, 1, 2, 3, 4],
                element_strides: [1, 2, 3, 4, 8],
                interleave: Interleave::B32,
                fill: Fill::Nan,
                l2_promotion: L2Promotion::B256,
                ..plain()
            };
            assert_eq!(TensorMap::decode(&map.encode()), Ok(map));
        }
    }
}

/// The sequence of brief, 3.4: a zeroed map, then every field.
#[test]
fn a_map_built_on_the_device() {
    let mut bytes = [0; 128];
    let bf16_on_device = 10;
    for (field, value) in [
        (Field::GlobalAddress, 0x1234_5600),
        (Field::Rank, 1),
        (Field::BoxDim(0), 64),
        (Field::BoxDim(1), 128),
        (Field::GlobalDim(0), 320),
        (Field::GlobalDim(1), 100),
        (Field::GlobalStride(0), 640),
        (Field::ElementStride(0), 1),
        (Field::ElementStride(1), 1),
        (Field::ElementType, bf16_on_device),
        (Field::Interleave, 0),
        (Field::Swizzle, 3),
        (Field::Fill, 0),
    ] {
        replace(&mut bytes, field, value).unwrap();
    }
    let map = TensorMap::decode(&bytes).unwrap();
    let expected = TensorMap {
        address: 0x1234_5600,
        element: Bf16,
        dims: [320, 100, 1, 1, 1],
        strides: [640, 0, 0, 0],
        box_dims: [64, 128, 1, 1, 1],
        l2_promotion: L2Promotion::None,
        ..plain()
    };
    assert_eq!(map, expected);
}

#[test]
fn replacing_fields_refuses_what_does_not_exist() {
    let mut bytes = [0; 128];
    let mut refuse = |field, value| replace(&mut bytes, field, value).unwrap_err();
    assert_eq!(
        refuse(Field::GlobalStride(4), 16),
        TensorMapError::Ordinal {
            ordinal: 4,
            limit: 4
        }
    );
    assert_eq!(
        refuse(Field::BoxDim(5), 16),
        TensorMapError::Ordinal {
            ordinal: 5,
            limit: 5
        }
    );
    assert_eq!(refuse(Field::Rank, 5), TensorMapError::Rank(6));
    assert_eq!(
        refuse(Field::ElementType, 16),
        TensorMapError::ElementType(16)
    );
    assert_eq!(refuse(Field::Interleave, 3), TensorMapError::Interleave(3));
    assert_eq!(
        refuse(Field::SwizzleAtomicity, 4),
        TensorMapError::SwizzleAtomicity(4)
    );
    assert!(matches!(
        refuse(Field::Swizzle, 4),
        TensorMapError::Unsupported(_)
    ));
}

#[test]
fn every_driver_check_names_its_rule() {
    use TensorMapError as E;
    let refused = |change: &dyn Fn(&mut TensorMap)| {
        let mut map = plain();
        change(&mut map);
        map.check().unwrap_err()
    };
    assert_eq!(refused(&|m| m.rank = 0), E::Rank(0));
    assert_eq!(refused(&|m| m.rank = 6), E::Rank(6));
    assert_eq!(
        refused(&|m| m.interleave = Interleave::B16),
        E::InterleavedRank(2)
    );
    assert_eq!(
        refused(&|m| m.address += 8),
        E::AddressAlignment {
            address: 0x5a00_0000_0008,
            alignment: 16
        }
    );
    assert_eq!(refused(&|m| m.dims[1] = 0), E::DimSize { dim: 1, size: 0 });
    assert_eq!(
        refused(&|m| m.dims[1] = (1 << 32) + 1),
        E::DimSize {
            dim: 1,
            size: (1 << 32) + 1
        }
    );
    assert_eq!(
        refused(&|m| m.dims[0] = 767),
        E::InnerDimMultiple {
            size: 767,
            multiple: 2
        }
    );
    assert_eq!(
        refused(&|m| m.strides[0] = 392),
        E::StrideAlignment {
            dim: 1,
            stride: 392,
            alignment: 16
        }
    );
    assert_eq!(
        refused(&|m| m.strides[0] = 1 << 40),
        E::StrideSize {
            dim: 1,
            stride: 1 << 40
        }
    );
    assert_eq!(
        refused(&|m| m.box_dims[1] = 257),
        E::BoxSize { dim: 1, size: 257 }
    );
    assert_eq!(
        refused(&|m| m.box_dims[1] = 0),
        E::BoxSize { dim: 1, size: 0 }
    );
    assert_eq!(
        refused(&|m| m.element_strides[1] = 9),
        E::ElementStride { dim: 1, step: 9 }
    );
    assert_eq!(
        refused(&|m| m.box_dims[0] = 48),
        E::InnerBoxMultiple { bytes: 24 }
    );
    let exceeds = E::InnerBoxExceedsSwizzle {
        bytes: 128,
        swizzle: Swizzle::B64,
    };
    assert_eq!(refused(&|m| m.swizzle = Swizzle::B64), exceeds);
    assert_eq!(refused(&|m| m.element = B4x16P64), E::PaddedInnerBox(256));
    assert_eq!(refused(&|m| m.fill = Fill::Nan), E::NanFill(B4x16));
    let padded =
        |m: &mut TensorMap| (m.element, m.box_dims[0], m.swizzle) = (B4x16P64, 128, Swizzle::B64);
    assert_eq!(
        refused(&padded),
        E::InnerBoxExceedsSwizzle {
            bytes: 128,
            swizzle: Swizzle::B64
        }
    );
    let interleaved = |m: &mut TensorMap| (m.rank, m.interleave) = (3, Interleave::B32);
    assert_eq!(refused(&interleaved), E::InterleaveSwizzle(Swizzle::B128));
    let packed = |m: &mut TensorMap| (m.rank, m.interleave) = (3, Interleave::B16);
    assert_eq!(refused(&packed), E::InterleavePacked(B4x16));
}
