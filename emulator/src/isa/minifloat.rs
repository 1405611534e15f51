//! Encoding and decoding of every binary floating-point format narrower than f32 (PTX ISA, 5.2.3).

use super::rounding::Rounding;

/// A format: sign, `exponent` bits with the usual bias, `mantissa` bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Format {
    pub exponent: u32,
    pub mantissa: u32,
    /// Bits of the largest finite magnitude.
    pub max: u32,
    /// Bits of infinity, if there is one.
    pub infinity: Option<u32>,
    /// Bits of the NaN that is produced, if there is one.
    pub nan: Option<u32>,
}

const fn ieee(exponent: u32, mantissa: u32) -> Format {
    let infinity = ((1 << exponent) - 1) << mantissa;
    let nan = (1 << (exponent + mantissa)) - 1;
    Format {
        exponent,
        mantissa,
        max: infinity - 1,
        infinity: Some(infinity),
        nan: Some(nan),
    }
}

pub(super) const F16: Format = ieee(5, 10);
pub(super) const BF16: Format = ieee(8, 7);
pub(super) const TF32: Format = ieee(8, 10);
pub(super) const E5M2: Format = ieee(5, 2);
pub(super) const E4M3: Format = Format {
    exponent: 4,
    mantissa: 3,
    max: 0x7E,
    infinity: None,
    nan: Some(0x7F),
};
pub(super) const E3M2: Format = Format {
    exponent: 3,
    mantissa: 2,
    max: 0x1F,
    infinity: None,
    nan: None,
};
pub(super) const E2M3: Format = Format {
    exponent: 2,
    mantissa: 3,
    max: 0x1F,
    infinity: None,
    nan: None,
};
pub(super) const E2M1: Format = Format {
    exponent: 2,
    mantissa: 1,
    max: 7,
    infinity: None,
    nan: None,
};

impl Format {
    fn sign_bit(self) -> u32 {
        1 << (self.exponent + self.mantissa)
    }

    /// Exponent of the smallest normal value.
    fn least_exponent(self) -> i32 {
        2 - (1 << (self.exponent - 1))
    }

    /// The value of `bits`.
    pub fn decode(self, bits: u32) -> f64 {
        let magnitude = bits & (self.sign_bit() - 1);
        let sign = if bits & self.sign_bit() != 0 {
            -1.0
        } else {
            1.0
        };
        if self.infinity == Some(magnitude) {
            return sign * f64::INFINITY;
        }
        if magnitude > self.max {
            return f64::NAN;
        }
        let (exponent, fraction) = (
            magnitude >> self.mantissa,
            magnitude & ((1 << self.mantissa) - 1),
        );
        let hidden = if exponent == 0 { 0 } else { 1 << self.mantissa };
        let scale = self.least_exponent() + exponent.max(1) as i32 - 1 - self.mantissa as i32;
        sign * f64::from(fraction | hidden) * f64::powi(2.0, scale)
    }

    /// The bits nearest to `value`; beyond the range the largest finite value if `saturate`, else infinity or NaN.
    pub fn encode(self, value: f64, rounding: Rounding, saturate: bool) -> u32 {
        if value.is_nan() {
            // Formats without NaN give the positive maximum (PTX ISA, cvt).
            return self.nan.unwrap_or(self.max);
        }
        let sign = if value.is_sign_negative() {
            self.sign_bit()
        } else {
            0
        };
        let magnitude = if value.is_infinite() {
            u64::MAX
        } else {
            self.magnitude(value, rounding)
        };
        if magnitude <= u64::from(self.max) {
            return sign | magnitude as u32;
        }
        let inward = match rounding {
            Rounding::Zero => value.is_finite(),
            Rounding::Down => value.is_finite() && sign == 0,
            Rounding::Up => value.is_finite() && sign != 0,
            _ => false,
        };
        let beyond = if saturate || inward {
            self.max
        } else {
            self.infinity.or(self.nan).unwrap_or(self.max)
        };
        sign | beyond
    }

    /// Bits of the magnitude without regard to the upper limit.
    fn magnitude(self, value: f64, rounding: Rounding) -> u64 {
        if value == 0.0 {
            return 0;
        }
        let stored = (value.abs().to_bits() >> 52) as i32;
        let exponent = (stored - 1023).max(self.least_exponent());
        let units = value.abs() * f64::powi(2.0, self.mantissa as i32 - exponent);
        let rounded = match rounding {
            Rounding::Nearest => units.round_ties_even(),
            Rounding::NearestAway => units.round(),
            Rounding::Zero => units.trunc(),
            Rounding::Down if value > 0.0 => units.trunc(),
            Rounding::Up if value < 0.0 => units.trunc(),
            Rounding::Down | Rounding::Up => units.ceil(),
            Rounding::Stochastic(bits) => {
                (units + f64::from(bits) / f64::from(1u32 << 31) / 2.0).trunc()
            }
        };
        (((exponent - self.least_exponent()) as u64) << self.mantissa) + rounded as u64
    }
}

/// ue8m0: 2^(bits - 127), 255 is NaN.
pub(super) fn decode_ue8m0(bits: u32) -> f64 {
    if bits & 0xFF == 0xFF {
        f64::NAN
    } else {
        f64::powi(2.0, (bits & 0xFF) as i32 - 127)
    }
}

/// ue8m0 of a magnitude, rounded toward zero or up.
pub(super) fn encode_ue8m0(value: f64, up: bool) -> u32 {
    if value.is_nan() {
        return 0xFF;
    }
    let bits = value.abs().to_bits();
    let exponent = (bits >> 52) as i32 - 1023 + i32::from(up && bits & ((1 << 52) - 1) != 0);
    (exponent + 127).clamp(0, 254) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_a_round_trip() {
        for format in [F16, BF16, E5M2, E4M3, E3M2, E2M3, E2M1] {
            for bits in 0..=format.max {
                assert_eq!(
                    format.encode(format.decode(bits), Rounding::Nearest, true),
                    bits,
                    "{format:?}"
                );
            }
        }
    }

    #[test]
    fn agrees_with_the_half_crate() {
        for step in 0..200_000u32 {
            let value = f32::from_bits(step.wrapping_mul(0x9E37_79B9));
            if !value.is_nan() {
                assert_eq!(
                    F16.encode(value.into(), Rounding::Nearest, false),
                    u32::from(half::f16::from_f32(value).to_bits())
                );
                assert_eq!(
                    BF16.encode(value.into(), Rounding::Nearest, false),
                    u32::from(half::bf16::from_f32(value).to_bits())
                );
            }
        }
    }

    #[test]
    fn edges() {
        assert_eq!(E4M3.encode(1e9, Rounding::Nearest, true), 0x7E);
        assert_eq!(E4M3.decode(0x7E), 448.0);
        assert_eq!(E2M1.encode(-5.0, Rounding::Nearest, true), 0xE);
        assert_eq!(E2M1.decode(0xF), -6.0);
        assert_eq!(F16.encode(70000.0, Rounding::Zero, false), 0x7BFF);
        assert_eq!(encode_ue8m0(3.0, true), 129);
        assert_eq!(encode_ue8m0(3.0, false), 128);
    }
}
