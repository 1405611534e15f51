use super::*;
use crate::engine::swizzle::Swizzle;

const AB: u64 = 0x4000_4040_0001_0000;
const SCALES: u64 = 0x0000_4008_0001_0000;
const NVFP4: u32 = 0x0820_0480;

fn nvfp4(bits: u32) -> Result<Instruction, DescriptorError> {
    Instruction::decode(bits, Kind::Mxf4nvf4, CtaGroup::One, Some(ScaleVector::X4))
}

/// The two descriptors of brief, 0.
#[test]
fn matrix_descriptors_of_an_nvfp4_kernel() {
    let ab = SharedMatrix::decode_sm100(AB | 0x8420 >> 4).unwrap();
    assert_eq!(
        ab,
        SharedMatrix {
            start: 0x8420,
            leading: 16,
            stride: 1024,
            swizzle: Swizzle::B128
        }
    );
    let scales = SharedMatrix::decode_sm100(SCALES | 0x220).unwrap();
    assert_eq!(
        scales,
        SharedMatrix {
            start: 0x2200,
            leading: 16,
            stride: 128,
            swizzle: Swizzle::None
        }
    );
}

#[test]
fn matrix_descriptors_refused() {
    use DescriptorError as E;
    let refused = |bits| SharedMatrix::decode_sm100(bits).unwrap_err();
    assert_eq!(refused(AB & !(1 << 46)), E::Constant(0));
    assert_eq!(refused(AB | 1 << 47), E::Constant(3));
    for bit in [14, 15, 30, 31, 53, 60] {
        assert_eq!(refused(AB | 1 << bit), E::Reserved { bit, matrix: true });
    }
    for code in [3, 5, 7] {
        assert_eq!(
            refused(AB & !(7 << 61) | code << 61),
            E::SwizzleCode(code as u32)
        );
    }
    assert_eq!(refused(AB | 4 << 49), E::BaseOffset(4));
    assert!(SharedMatrix::decode_sm100(SCALES | 4 << 49).is_ok());
    let middle = SharedMatrix::decode_sm100(AB | 0x8).unwrap();
    assert_eq!(
        middle.check_pattern(),
        Err(E::PatternAlignment {
            start: 0x80,
            swizzle: Swizzle::B128
        })
    );
    assert!(matches!(refused(AB | 1 << 52), E::OnlySm103 { .. }));
}

#[test]
fn sm90_descriptors() {
    let bits = 1 << 62 | 64 << 32 | 1 << 16 | 0x1000 >> 4;
    let matrix = SharedMatrix::decode_sm90(bits).unwrap();
    assert_eq!(
        matrix,
        SharedMatrix {
            start: 0x1000,
            leading: 16,
            stride: 1024,
            swizzle: Swizzle::B128
        }
    );
    assert_eq!(
        SharedMatrix::decode_sm90(bits | 1 << 46).unwrap_err(),
        DescriptorError::Reserved {
            bit: 46,
            matrix: true
        }
    );
    assert_eq!(
        SharedMatrix::decode_sm90(bits | 1 << 49).unwrap_err(),
        DescriptorError::BaseOffset(1)
    );
}

#[test]
fn the_nvfp4_instruction() {
    let instruction = nvfp4(NVFP4).unwrap();
    assert_eq!(
        (instruction.m, instruction.n, instruction.k),
        (128, 128, 64)
    );
    assert_eq!(
        (instruction.a, instruction.b, instruction.d),
        (Format::E2m1, Format::E2m1, Accumulator::F32)
    );
    let scales = Scales {
        format: ScaleFormat::Ue4m3,
        vector: ScaleVector::X4,
        a_id: 0,
        b_id: 0,
    };
    assert_eq!(instruction.scales, Some(scales));
    assert!(nvfp4(NVFP4 | 1 << 13).unwrap().negate_a);
}

#[test]
fn nvfp4_instructions_refused() {
    use DescriptorError as E;
    let refused = |bits| nvfp4(bits).unwrap_err();
    let kind = Kind::Mxf4nvf4;
    assert_eq!(
        refused(NVFP4 & !(7 << 7) | 5 << 7),
        E::ElementFormat { kind, code: 5 }
    );
    for bit in [0, 1, 3, 6, 12, 15, 16, 24, 26] {
        assert_eq!(
            refused(NVFP4 | 1 << bit),
            E::Reserved { bit, matrix: false }
        );
    }
    let shape = |group, m, n| E::Shape { kind, group, m, n };
    assert_eq!(
        refused(NVFP4 & !(3 << 27) | 2 << 27),
        shape(CtaGroup::One, 256, 128)
    );
    assert_eq!(refused(NVFP4 & !(63 << 17)), shape(CtaGroup::One, 128, 0));
    assert_eq!(
        refused(NVFP4 | 33 << 17),
        shape(CtaGroup::One, 128, 0x31 << 3)
    );
    assert_eq!(
        refused(NVFP4 | 1 << 29),
        E::ScaleId {
            vector: ScaleVector::X4,
            id: 1
        }
    );
    assert_eq!(
        refused(NVFP4 | 2 << 4),
        E::ScaleId {
            vector: ScaleVector::X4,
            id: 2
        }
    );
    assert!(matches!(refused(NVFP4 | 1 << 2), E::Sparse));
    assert!(matches!(refused(NVFP4 | 1 << 31), E::OnlySm103 { .. }));
    let decode = |vector| Instruction::decode(NVFP4, kind, CtaGroup::One, vector).unwrap_err();
    assert_eq!(decode(None), E::ScaleVector { kind, vector: None });
    assert_eq!(
        decode(Some(ScaleVector::X1)),
        E::ScaleVector {
            kind,
            vector: Some(ScaleVector::X1)
        }
    );
    assert_eq!(
        decode(Some(ScaleVector::X2)),
        E::ScaleFormat {
            kind,
            format: ScaleFormat::Ue4m3
        }
    );
    let pair = Instruction::decode(
        NVFP4 & !(63 << 17) | 1 << 17,
        kind,
        CtaGroup::Two,
        Some(ScaleVector::X4),
    );
    assert_eq!(pair.unwrap_err(), shape(CtaGroup::Two, 128, 8));
}

#[test]
fn other_kinds() {
    let dense = |bits, kind| Instruction::decode(bits, kind, CtaGroup::One, None);
    // M = 128, N = 64, bf16, B transposed, f32.
    let bf16 = dense(
        1 << 4 | 1 << 7 | 1 << 10 | 1 << 16 | 8 << 17 | 8 << 24,
        Kind::F16,
    )
    .unwrap();
    assert_eq!(
        (bf16.m, bf16.n, bf16.k, bf16.a, bf16.d),
        (128, 64, 16, Format::Bf16, Accumulator::F32)
    );
    assert!(bf16.transpose_b && !bf16.transpose_a);
    let i8 = dense(2 << 4 | 1 << 3 | 1 << 7 | 2 << 17 | 4 << 24, Kind::I8).unwrap();
    assert_eq!(
        (i8.a, i8.b, i8.d, i8.saturate),
        (Format::S8, Format::U8, Accumulator::S32, true)
    );
    let mx8 = 5 << 7 | 1 << 10 | 16 << 17 | 1 << 23 | 1 << 27 | 3 << 29 | 2 << 4;
    let mx8 =
        Instruction::decode(mx8, Kind::Mxf8f6f4, CtaGroup::One, Some(ScaleVector::X1)).unwrap();
    assert_eq!((mx8.a, mx8.b, mx8.k), (Format::E2m1, Format::E5m2, 32));
    let scales = mx8.scales.unwrap();
    assert_eq!((scales.a_id, scales.b_id), (3, 2));
    let packed = 1 << 4 | 5 << 7 | 1 << 15 | 8 << 17 | 8 << 24;
    let refused = dense(packed, Kind::F8f6f4).unwrap_err();
    assert_eq!(
        refused,
        DescriptorError::TransposePacked {
            a: Format::E2m1,
            b: Format::E4m3
        }
    );
    let refused = dense(2 << 4 | 8 << 17 | 8 << 24, Kind::F16).unwrap_err();
    assert_eq!(
        refused,
        DescriptorError::AccumulatorFormat {
            kind: Kind::F16,
            code: 2
        }
    );
}
