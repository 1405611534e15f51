//! The bit patterns that `tcgen05` reads: instruction and shared-memory matrix descriptors (brief, 1.3 and 1.4).

/// Instruction descriptor of kind mxf4nvf4: E2M1 by E2M1, K-major, UE4M3 scales, `m` by `n`.
pub fn instruction(m: u32, n: u32) -> u32 {
    const E2M1: u32 = 1;
    E2M1 << 7 | E2M1 << 10 | n >> 3 << 17 | m >> 7 << 27
}

/// How 16-byte units are exchanged within a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swizzle {
    /// Rows of 16 bytes in order.
    None,
    /// Rows of 64 bytes, units exchanged by half the row modulo 8.
    Bytes64,
    /// Rows of 128 bytes, units exchanged by row modulo 8.
    Bytes128,
}

/// High word of the descriptor of an operand whose rows are one swizzle span of 64 or 128 bytes.
pub fn operand_high(span: u32) -> u32 {
    let swizzle = match span {
        64 => Swizzle::Bytes64,
        _ => Swizzle::Bytes128,
    };
    matrix_high(8 * span, swizzle)
}

/// High word of a matrix descriptor: distance of eight-row groups in bytes, and swizzle. It never changes in a kernel.
pub fn matrix_high(eight_rows: u32, swizzle: Swizzle) -> u32 {
    const VERSION: u32 = 1 << (46 - 32);
    let mode = match swizzle {
        Swizzle::None => 0,
        Swizzle::Bytes64 => 4,
        Swizzle::Bytes128 => 2,
    };
    eight_rows >> 4 | VERSION | mode << (61 - 32)
}

/// A byte distance in units of the low word's address field.
pub fn matrix_low(bytes: u32) -> u32 {
    bytes >> 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_patterns_of_other_compilers() {
        assert_eq!(instruction(128, 128), 0x0820_0480);
        assert_eq!(matrix_high(1024, Swizzle::Bytes128), 0x4000_4040);
        assert_eq!(matrix_high(128, Swizzle::None), 0x0000_4008);
    }
}
