//! Rounding of exact or nearly exact results to the formats of PTX (PTX ISA, 9.7.3 and 9.7.9.21).

/// A rounding modifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    /// `.rn`: to nearest, ties to even.
    Nearest,
    /// `.rna`: to nearest, ties away from zero.
    NearestAway,
    /// `.rz`: toward zero.
    Zero,
    /// `.rm`: toward minus infinity.
    Down,
    /// `.rp`: toward plus infinity.
    Up,
    /// `.rs`: away from zero if what is cut off, in units of 2^-32 of the last place, and these bits carry.
    Stochastic(u32),
}

/// The four modifiers of arithmetic.
pub(super) const ROUNDINGS: [(&str, Rounding); 4] = [
    ("rn", Rounding::Nearest),
    ("rz", Rounding::Zero),
    ("rm", Rounding::Down),
    ("rp", Rounding::Up),
];

/// Rounds `value + error` to f32, where `error` is what `value` lost (only its sign and whether it is zero count,
/// and it is smaller than half a unit in the last place of `value`).
pub(super) fn to_f32(value: f64, error: f64, rounding: Rounding) -> f32 {
    if !value.is_finite() {
        return value as f32;
    }
    let exact = round_to_odd(value, error);
    let nearest = exact as f32;
    let back = f64::from(nearest);
    match rounding {
        Rounding::Nearest | Rounding::NearestAway => nearest,
        Rounding::Zero if exact > 0.0 && back > exact => nearest.next_down(),
        Rounding::Zero if exact < 0.0 && back < exact => nearest.next_up(),
        Rounding::Down if back > exact => nearest.next_down(),
        Rounding::Up if back < exact => nearest.next_up(),
        _ => nearest,
    }
}

/// Moves an inexact f64 to its odd neighbour, so that one more rounding to fewer bits is a correct single rounding.
fn round_to_odd(value: f64, error: f64) -> f64 {
    if error == 0.0 || value.to_bits() & 1 == 1 {
        value
    } else if error > 0.0 {
        value.next_up()
    } else {
        value.next_down()
    }
}

/// `a + b` as the nearest f64 and what it lost (Knuth's two-sum).
pub(super) fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    if !sum.is_finite() {
        return (sum, 0.0);
    }
    let b_part = sum - a;
    (sum, (a - (sum - b_part)) + (b - b_part))
}

/// `a + b` in f32.
pub(super) fn add(a: f32, b: f32, rounding: Rounding) -> f32 {
    if rounding == Rounding::Nearest {
        return a + b;
    }
    let (sum, error) = two_sum(a.into(), b.into());
    // An exact zero from opposite signs is -0 only when rounding down.
    if sum == 0.0 && rounding == Rounding::Down && a.is_sign_negative() != b.is_sign_negative() {
        return -0.0;
    }
    to_f32(sum, error, rounding)
}

/// `a * b` in f32; the product is exact in f64.
pub(super) fn mul(a: f32, b: f32, rounding: Rounding) -> f32 {
    if rounding == Rounding::Nearest {
        a * b
    } else {
        to_f32(f64::from(a) * f64::from(b), 0.0, rounding)
    }
}

/// `a * b + c` in f32 with one rounding.
pub(super) fn fma(a: f32, b: f32, c: f32, rounding: Rounding) -> f32 {
    if rounding == Rounding::Nearest {
        return a.mul_add(b, c);
    }
    let (sum, error) = two_sum(f64::from(a) * f64::from(b), c.into());
    to_f32(sum, error, rounding)
}

/// `a / b` in f32.
pub(super) fn div(a: f32, b: f32, rounding: Rounding) -> f32 {
    let quotient = f64::from(a) / f64::from(b);
    if rounding == Rounding::Nearest || !quotient.is_finite() || b == 0.0 {
        return a / b;
    }
    // a - quotient*b, exact by fused multiply-add, tells on which side the quotient lies.
    let rest = quotient.mul_add(-f64::from(b), f64::from(a));
    to_f32(
        quotient,
        if b.is_sign_negative() { -rest } else { rest },
        rounding,
    )
}

/// The square root in f32.
pub(super) fn sqrt(a: f32, rounding: Rounding) -> f32 {
    let root = f64::from(a).sqrt();
    if rounding == Rounding::Nearest || !root.is_finite() {
        return a.sqrt();
    }
    to_f32(root, root.mul_add(-root, f64::from(a)), rounding)
}

/// Zero with the sign of a subnormal (`.ftz`).
pub(super) fn flush(value: f32) -> f32 {
    if value.is_subnormal() {
        0f32.copysign(value)
    } else {
        value
    }
}

/// Clamps to [0, 1], NaN to 0 (`.sat`).
pub(super) fn saturate(value: f32) -> f32 {
    if value.is_nan() {
        0.0
    } else {
        value.clamp(0.0, 1.0) + 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directed_roundings_enclose_the_exact_value() {
        let (a, b) = (1.0f32, f32::EPSILON / 8.0);
        assert_eq!(add(a, b, Rounding::Down), 1.0);
        assert_eq!(add(a, b, Rounding::Up), 1.0f32.next_up());
        assert_eq!(add(-a, -b, Rounding::Zero), -1.0);
        assert_eq!(
            mul(1.0f32.next_up(), 1.0f32.next_up(), Rounding::Zero),
            1.0 + 2.0 * f32::EPSILON
        );
        assert!(div(1.0, 3.0, Rounding::Down) < div(1.0, 3.0, Rounding::Up));
        assert_eq!(
            div(-1.0, 3.0, Rounding::Zero),
            -div(1.0, 3.0, Rounding::Down)
        );
        assert_eq!(sqrt(2.0, Rounding::Up), sqrt(2.0, Rounding::Down).next_up());
        assert_eq!(fma(1e30, 1e30, 0.0, Rounding::Zero), f32::MAX);
    }
}
