//! Shared-memory swizzles: XORs of address bits, the same for TMA and for the matrix units (brief, 1.5 and 3.3).

/// How 16-byte (or wider) units are permuted inside each 128-byte line of shared memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Swizzle {
    /// Addresses stay as they are.
    #[default]
    None,
    /// Bit 4 ^= bit 7.
    B32,
    /// Bits 4-5 ^= bits 7-8.
    B64,
    /// Bits 4-6 ^= bits 7-9.
    B128,
    /// 128-byte span in 32-byte units: bits 5-6 ^= bits 7-8.
    B128Atom32,
}

impl Swizzle {
    /// The place of the byte at `address` (an absolute shared address).
    pub const fn apply(self, address: u32) -> u32 {
        match self {
            Swizzle::None => address,
            Swizzle::B32 => address ^ (((address >> 7) & 1) << 4),
            Swizzle::B64 => address ^ (((address >> 7) & 3) << 4),
            Swizzle::B128 => address ^ (((address >> 7) & 7) << 4),
            Swizzle::B128Atom32 => address ^ (((address >> 7) & 3) << 5),
        }
    }

    /// Bytes of one row of the pattern: 16 (no swizzle), 32, 64 or 128.
    pub const fn span(self) -> u32 {
        match self {
            Swizzle::None => 16,
            Swizzle::B32 => 32,
            Swizzle::B64 => 64,
            Swizzle::B128 | Swizzle::B128Atom32 => 128,
        }
    }

    /// Bytes that stay together, at least: 16 or 32.
    pub const fn unit(self) -> u32 {
        match self {
            Swizzle::B128Atom32 => 32,
            _ => 16,
        }
    }

    /// Bytes after which the pattern repeats, which is its natural alignment (brief, 1.4).
    pub const fn period(self) -> u32 {
        match self {
            Swizzle::None => 16,
            Swizzle::B32 => 256,
            Swizzle::B64 | Swizzle::B128Atom32 => 512,
            Swizzle::B128 => 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the PTX ISA for the 128-byte mode: unit c of row r holds unit c ^ r.
    #[test]
    fn the_128_byte_pattern() {
        for row in 0..8 {
            for unit in 0..8 {
                assert_eq!(
                    Swizzle::B128.apply(row * 128 + unit * 16) / 16 % 8,
                    unit ^ row
                );
            }
        }
    }

    #[test]
    fn every_mode_permutes_units_inside_lines_and_repeats() {
        for mode in [
            Swizzle::None,
            Swizzle::B32,
            Swizzle::B64,
            Swizzle::B128,
            Swizzle::B128Atom32,
        ] {
            for address in 0..4096 {
                let place = mode.apply(address);
                assert_eq!(mode.apply(place), address, "an involution");
                assert_eq!(
                    place / mode.span(),
                    address / mode.span(),
                    "inside the span"
                );
                assert_eq!(
                    place % mode.unit(),
                    address % mode.unit(),
                    "units stay whole"
                );
                assert_eq!(
                    mode.apply(address + mode.period()),
                    place + mode.period(),
                    "the period"
                );
            }
        }
    }
}
