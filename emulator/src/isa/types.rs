//! Fundamental types of PTX (PTX ISA, 5.2) and their images in 64-bit register words.

use half::{bf16, f16};

/// A fundamental type, or a packed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ty {
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
    B8,
    B16,
    B32,
    B64,
    B128,
    F16,
    F16x2,
    Bf16,
    Bf16x2,
    F32,
    F32x2,
    F64,
    Pred,
}

impl Ty {
    /// From the word behind the dot.
    pub fn parse(word: &str) -> Option<Ty> {
        Some(match word {
            "u8" => Ty::U8,
            "u16" => Ty::U16,
            "u32" => Ty::U32,
            "u64" => Ty::U64,
            "s8" => Ty::S8,
            "s16" => Ty::S16,
            "s32" => Ty::S32,
            "s64" => Ty::S64,
            "b8" => Ty::B8,
            "b16" => Ty::B16,
            "b32" => Ty::B32,
            "b64" => Ty::B64,
            "b128" => Ty::B128,
            "f16" => Ty::F16,
            "f16x2" => Ty::F16x2,
            "bf16" => Ty::Bf16,
            "bf16x2" => Ty::Bf16x2,
            "f32" => Ty::F32,
            "f32x2" => Ty::F32x2,
            "f64" => Ty::F64,
            "pred" => Ty::Pred,
            _ => return None,
        })
    }

    /// Size in bits; a predicate has 1.
    pub const fn bits(self) -> u32 {
        match self {
            Ty::Pred => 1,
            Ty::U8 | Ty::S8 | Ty::B8 => 8,
            Ty::U16 | Ty::S16 | Ty::B16 | Ty::F16 | Ty::Bf16 => 16,
            Ty::U32 | Ty::S32 | Ty::B32 | Ty::F32 | Ty::F16x2 | Ty::Bf16x2 => 32,
            Ty::U64 | Ty::S64 | Ty::B64 | Ty::F64 | Ty::F32x2 => 64,
            Ty::B128 => 128,
        }
    }

    /// Size in bytes in memory.
    pub fn bytes(self) -> u32 {
        self.bits().div_ceil(8)
    }

    /// `.s8` to `.s64`.
    pub fn is_signed(self) -> bool {
        matches!(self, Ty::S8 | Ty::S16 | Ty::S32 | Ty::S64)
    }

    /// Single floating-point values, not the packed ones.
    pub fn is_float(self) -> bool {
        matches!(self, Ty::F16 | Ty::Bf16 | Ty::F32 | Ty::F64)
    }

    /// `.b8` to `.b128`.
    pub fn is_untyped(self) -> bool {
        matches!(self, Ty::B8 | Ty::B16 | Ty::B32 | Ty::B64 | Ty::B128)
    }
}

/// Keeps the low `bits` bits.
pub(crate) fn truncate(word: u64, bits: u32) -> u64 {
    if bits >= 64 {
        word
    } else {
        word & ((1 << bits) - 1)
    }
}

/// Sign-extends the low `bits` bits to 64.
pub(crate) fn sign_extend(word: u64, bits: u32) -> u64 {
    if bits >= 64 {
        word
    } else {
        ((word << (64 - bits)) as i64 >> (64 - bits)) as u64
    }
}

/// A value that lives in a register word: zero-extended, canonical.
pub(crate) trait Value: Copy + 'static {
    /// How constants are read in this place.
    const TY: Ty;
    /// Bytes of the parts that instructions with such a result treat each by itself; 8 if there are none.
    const PART: u8 = 8;
    /// Reads the low bits of a word.
    fn from_word(word: u64) -> Self;
    /// The word, upper bits zero.
    fn word(self) -> u64;
}

macro_rules! integer_values {
    ($($t:ty, $unsigned:ty, $ty:ident);* $(;)?) => {$(
        impl Value for $t {
            const TY: Ty = Ty::$ty;
            fn from_word(word: u64) -> Self {
                word as $t
            }
            fn word(self) -> u64 {
                u64::from(self as $unsigned)
            }
        }
    )*};
}

integer_values! {
    u8, u8, U8; u16, u16, U16; u32, u32, U32; u64, u64, U64;
    i8, u8, S8; i16, u16, S16; i32, u32, S32; i64, u64, S64;
}

impl Value for bool {
    const TY: Ty = Ty::Pred;
    fn from_word(word: u64) -> Self {
        word & 1 != 0
    }
    fn word(self) -> u64 {
        u64::from(self)
    }
}

impl Value for f32 {
    const TY: Ty = Ty::F32;
    fn from_word(word: u64) -> Self {
        f32::from_bits(word as u32)
    }
    fn word(self) -> u64 {
        u64::from(self.to_bits())
    }
}

impl Value for f64 {
    const TY: Ty = Ty::F64;
    fn from_word(word: u64) -> Self {
        f64::from_bits(word)
    }
    fn word(self) -> u64 {
        self.to_bits()
    }
}

impl Value for f16 {
    const TY: Ty = Ty::F16;
    fn from_word(word: u64) -> Self {
        f16::from_bits(word as u16)
    }
    fn word(self) -> u64 {
        u64::from(self.to_bits())
    }
}

impl Value for bf16 {
    const TY: Ty = Ty::Bf16;
    fn from_word(word: u64) -> Self {
        bf16::from_bits(word as u16)
    }
    fn word(self) -> u64 {
        u64::from(self.to_bits())
    }
}

/// Two values side by side, the first in the low half: `.f16x2`, `.bf16x2`, `.f32x2`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Two<T>(pub T, pub T);

impl<T: Value> Value for Two<T> {
    const TY: Ty = match T::TY {
        Ty::F16 => Ty::F16x2,
        Ty::Bf16 => Ty::Bf16x2,
        Ty::F32 => Ty::F32x2,
        _ => Ty::B32,
    };
    const PART: u8 = T::TY.bits() as u8 / 8;
    fn from_word(word: u64) -> Self {
        Two(T::from_word(word), T::from_word(word >> T::TY.bits()))
    }
    fn word(self) -> u64 {
        self.0.word() | self.1.word() << T::TY.bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_canonical() {
        assert_eq!((-1i16).word(), 0xFFFF);
        assert_eq!(i8::from_word(0x1FF), -1);
        assert_eq!(Two(f16::ONE, f16::ZERO).word(), 0x3C00);
        assert_eq!(sign_extend(0x80, 8), 0xFFFF_FFFF_FFFF_FF80);
        assert_eq!(truncate(u64::MAX, 16), 0xFFFF);
    }
}
