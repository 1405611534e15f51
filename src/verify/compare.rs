//! An output held to the exact reference.

use super::bound::{Arithmetic, Bound, Summation};
use super::swing::Swings;
use super::{GroupInputs, GroupVerdict, Offence};
use crate::numerics::reference::{Element, Operand, Reference};
use crate::numerics::round::{self, BF16, F16, F32, FloatFormat};
use crate::numerics::{NumericsError, UNIT};
use crate::problem::{Group, OutputType};
use half::{bf16, f16};
use rayon::prelude::*;
use std::fmt;
use std::ops::Range;

/// The reference is computed for about this many elements of C at a time, which takes some 70 MB.
const CHUNK: usize = 4 << 20;

/// Why an output could not even be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifyError {
    /// The inputs do not make an NVFP4 product.
    Inputs {
        /// Number of the group in its set.
        group: usize,
        /// What is wrong with them.
        error: NumericsError,
    },
    /// The output has the wrong number of bytes.
    OutputLength {
        /// Number of the group in its set.
        group: usize,
        /// M * N * bytes of the output type.
        expected: usize,
        /// Bytes handed over.
        got: usize,
    },
}

/// Checks an output, row-major [M, N] in little-endian `output` elements without padding, against the exact product
/// of `inputs`. `index` is the number of the group in its set, for messages; `summation` is how the kernel adds up.
///
/// # Errors
/// If the inputs or the output do not fit the group's sizes, or a scale has its sign bit set.
pub fn check_group(
    index: usize,
    group: &Group,
    output: OutputType,
    summation: Summation,
    inputs: &GroupInputs,
    got: &[u8],
) -> Result<GroupVerdict, VerifyError> {
    let row_bytes = group.n as usize * output.bytes() as usize;
    let expected = group.m as usize * row_bytes;
    if got.len() != expected {
        return Err(VerifyError::OutputLength {
            group: index,
            expected,
            got: got.len(),
        });
    }
    let mut verdict = GroupVerdict::new(index);
    for_each_chunk(index, group, inputs, |rows, (a, b), reference| {
        let chunk = &got[rows.start * row_bytes..rows.end * row_bytes];
        let check = Check {
            index,
            output,
            k: group.k as usize,
            summation,
            swings: (summation.arithmetic == Arithmetic::DequantisedF16).then(|| Swings::of(a, b)),
            first_row: rows.start,
            reference,
        };
        verdict = verdict.merge(check.rows(chunk));
    })?;
    Ok(verdict)
}

/// The exact product of `inputs`, rounded once to `output`: what a perfect kernel stores.
///
/// # Errors
/// If the inputs do not fit the group's sizes, or a scale has its sign bit set.
pub fn exact_output(
    index: usize,
    group: &Group,
    output: OutputType,
    inputs: &GroupInputs,
) -> Result<Vec<u8>, VerifyError> {
    let mut bytes =
        Vec::with_capacity(group.m as usize * group.n as usize * output.bytes() as usize);
    for_each_chunk(index, group, inputs, |rows, _, reference| {
        for row in 0..rows.len() {
            for column in 0..reference.columns() {
                encode(reference.at(row, column), output, &mut bytes);
            }
        }
    })?;
    Ok(bytes)
}

/// Computes the reference for some rows at a time.
fn for_each_chunk(
    index: usize,
    group: &Group,
    inputs: &GroupInputs,
    mut visit: impl FnMut(Range<usize>, (&Operand, &Operand), &Reference),
) -> Result<(), VerifyError> {
    let at = |error| VerifyError::Inputs {
        group: index,
        error,
    };
    let (a, b): (Operand, Operand) = inputs.operands(group).map_err(at)?;
    let step = (CHUNK / b.rows().max(1)).max(1);
    for first in (0..a.rows()).step_by(step) {
        let rows = first..a.rows().min(first + step);
        let part = a.slice(rows.clone());
        let reference = Reference::compute(&part, &b).map_err(at)?;
        visit(rows, (&part, &b), &reference);
    }
    Ok(())
}

/// One chunk of rows of an output, and what it should be.
struct Check<'a> {
    index: usize,
    output: OutputType,
    k: usize,
    summation: Summation,
    swings: Option<Swings>,
    first_row: usize,
    reference: &'a Reference,
}

impl Check<'_> {
    fn rows(&self, got: &[u8]) -> GroupVerdict {
        let row_bytes = self.reference.columns() * self.output.bytes() as usize;
        got.par_chunks(row_bytes.max(1))
            .enumerate()
            .map(|(row, bytes)| self.row(row, bytes))
            .reduce(|| GroupVerdict::new(self.index), GroupVerdict::merge)
    }

    fn row(&self, row: usize, got: &[u8]) -> GroupVerdict {
        let mut verdict = GroupVerdict::new(self.index);
        for (column, bytes) in got.chunks_exact(self.output.bytes() as usize).enumerate() {
            let got = decode(bytes, self.output);
            let element = self.reference.at(row, column);
            let swing = self.swings.as_ref().map_or(0.0, |s| s.at(row, column));
            let format = format(self.output);
            let bound = element.map(|e| Bound::of(self.summation, &e, swing, self.k, format));
            let found = judge(got, element.zip(bound), format);
            verdict.note(found.ulps, found.ratio, || Offence {
                group: self.index,
                row: self.first_row + row,
                column,
                got,
                exact: found.exact,
                bound: found.bound,
            });
        }
        verdict
    }
}

/// How one element compares. A ratio above 1 is an offence.
struct Judgement {
    exact: f64,
    bound: f64,
    ulps: f64,
    ratio: f64,
}

/// Holds one stored element to the exact one. The distance is exact in `f64` unless the sum has more than 53 bits,
/// far beyond f16, and then right to 2^-29 of an ulp of f32.
fn judge(got: f64, expected: Option<(Element, Bound)>, format: FloatFormat) -> Judgement {
    let Some((element, bound)) = expected else {
        let ratio = if got.is_nan() { 0.0 } else { f64::INFINITY };
        return Judgement {
            exact: f64::NAN,
            bound: 0.0,
            ulps: ratio,
            ratio,
        };
    };
    let exact = element.sum as f64 * UNIT;
    let judgement = |distance: f64| Judgement {
        exact,
        bound: bound.total(),
        ulps: distance / format.ulp(exact),
        ratio: distance / bound.total(),
    };
    let limit = format.overflow_threshold();
    let may_overflow = exact.abs() + bound.drift >= limit;
    let must_overflow = exact.abs() - bound.drift >= limit;
    match got {
        _ if got.is_nan() => judgement(f64::INFINITY),
        _ if got.is_infinite() && may_overflow && (got > 0.0) == (exact > 0.0) => judgement(0.0),
        _ if must_overflow => judgement(f64::INFINITY),
        _ => judgement((got - exact).abs()),
    }
}

fn format(output: OutputType) -> FloatFormat {
    match output {
        OutputType::F16 => F16,
        OutputType::Bf16 => BF16,
        OutputType::F32 => F32,
    }
}

/// One element from its bytes, of which there are as many as the type has.
fn decode(bytes: &[u8], output: OutputType) -> f64 {
    let mut word = [0; 4];
    word[..bytes.len()].copy_from_slice(bytes);
    let [low, high, ..] = word;
    match output {
        OutputType::F16 => f16::from_le_bytes([low, high]).to_f64(),
        OutputType::Bf16 => bf16::from_le_bytes([low, high]).to_f64(),
        OutputType::F32 => f64::from(f32::from_le_bytes(word)),
    }
}

fn encode(element: Option<Element>, output: OutputType, bytes: &mut Vec<u8>) {
    let sum = element.map(|element| element.sum);
    match output {
        OutputType::F16 => bytes.extend(sum.map_or(f16::NAN, round::to_f16).to_le_bytes()),
        OutputType::Bf16 => bytes.extend(sum.map_or(bf16::NAN, round::to_bf16).to_le_bytes()),
        OutputType::F32 => bytes.extend(sum.map_or(f32::NAN, round::to_f32).to_le_bytes()),
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inputs { group, error } => write!(f, "group {group}: {error}"),
            Self::OutputLength {
                group,
                expected,
                got,
            } => write!(
                f,
                "group {group}: the output has {got} bytes where its sizes ask for {expected}"
            ),
        }
    }
}

impl std::error::Error for VerifyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Inputs { error, .. } => Some(error),
            Self::OutputLength { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: i64 = 1 << 20;

    fn ratio(got: f64, sum: i64) -> f64 {
        let element = Element {
            sum,
            peak: sum.abs(),
            exponent: 0,
        };
        let bound = Bound::of(Summation::block_scaled(1), &element, 0.0, 64, F16);
        judge(got, Some((element, bound)), F16).ratio
    }

    #[test]
    fn neighbours_pass_only_if_the_sum_lies_between() {
        assert!(ratio(1.0, ONE) == 0.0);
        let ulp = ONE >> 10;
        assert!(ratio(1.0, ONE + ulp / 2) <= 1.0, "a tie may go either way");
        assert!(ratio(1.0 + UNIT * ulp as f64, ONE + ulp / 2) <= 1.0);
        assert!(ratio(1.0 + UNIT * ulp as f64, ONE) > 1.0);
        assert!(ratio(1.0, ONE + ulp * 6 / 10) > 1.0);
        assert!(ratio(-1.0, ONE) > 1.0);
    }

    #[test]
    fn not_a_number_must_be_matched() {
        assert_eq!(judge(f64::NAN, None, F16).ratio, 0.0);
        assert_eq!(judge(1.0, None, F16).ratio, f64::INFINITY);
        assert_eq!(ratio(f64::NAN, ONE), f64::INFINITY);
    }

    #[test]
    fn infinity_is_right_at_and_beyond_the_threshold_only() {
        assert_eq!(ratio(f64::INFINITY, 65_520 * ONE), 0.0);
        assert!(
            ratio(65_504.0, 65_520 * ONE) <= 1.0,
            "within the drift of the threshold"
        );
        assert_eq!(ratio(65_504.0, 65_521 * ONE), f64::INFINITY);
        assert_eq!(ratio(f64::NEG_INFINITY, 70_000 * ONE), f64::INFINITY);
        assert_eq!(ratio(f64::INFINITY, 65_504 * ONE), f64::INFINITY);
    }

    #[test]
    fn bytes_round_trip_in_every_type() {
        for output in OutputType::ALL {
            let mut bytes = Vec::new();
            encode(
                Some(Element {
                    sum: -3 * ONE / 2,
                    peak: 0,
                    exponent: 0,
                }),
                output,
                &mut bytes,
            );
            assert_eq!(bytes.len() as u64, output.bytes());
            assert_eq!(decode(&bytes, output), -1.5);
            bytes.clear();
            encode(None, output, &mut bytes);
            assert!(decode(&bytes, output).is_nan());
        }
    }
}
