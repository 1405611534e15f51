//! Comparison of an output with what it must be.

use super::RecipeError;
use super::data::{self, DataFile, Tensor};
use super::node::Node;

/// One comparison of a run.
pub(super) struct Comparison {
    pub output: String,
    expected: String,
    mode: Mode,
}

enum Mode {
    Bitwise,
    /// |got - expected| <= tol * absum, element by element.
    TolTimesAbsum {
        tol: f64,
        absum: String,
    },
    /// |got - expected| <= atol + rtol * |expected|.
    AllClose {
        atol: f64,
        rtol: f64,
    },
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// Name of the output buffer.
    pub output: String,
    /// `bitwise`, `tol_times_absum` or `allclose`.
    pub mode: &'static str,
    /// Elements compared (bytes if bitwise).
    pub elements: usize,
    /// How many of them are wrong.
    pub wrong: usize,
    /// The first wrong one in words.
    pub first: Option<String>,
    /// The largest error as a part of what is allowed; 0 if bitwise.
    pub worst: f64,
}

impl Comparison {
    pub fn read(node: &Node<'_>) -> Result<Comparison, RecipeError> {
        let text = |key: &str| node.get(key).and_then(|n| n.text()).map(String::from);
        let number = |key: &str| node.get(key).and_then(|n| n.number());
        let mode = node.get("mode")?;
        let mode = match mode.text()? {
            "bitwise" => Mode::Bitwise,
            "tol_times_absum" => Mode::TolTimesAbsum {
                tol: number("tol")?,
                absum: text("absum")?,
            },
            "allclose" => Mode::AllClose {
                atol: number("atol")?,
                rtol: number("rtol")?,
            },
            other => {
                return Err(mode.error(format!(
                    "is `{other}`; known are bitwise, tol_times_absum, allclose"
                )));
            }
        };
        Ok(Comparison {
            output: text("output")?,
            expected: text("expected")?,
            mode,
        })
    }

    fn mode_name(&self) -> &'static str {
        match self.mode {
            Mode::Bitwise => "bitwise",
            Mode::TolTimesAbsum { .. } => "tol_times_absum",
            Mode::AllClose { .. } => "allclose",
        }
    }

    /// Compares the bytes of the output, whose elements have the given type.
    pub fn compare(
        &self,
        data: &DataFile,
        dtype: &str,
        got: &[u8],
    ) -> Result<Compared, RecipeError> {
        let expected = data.tensor(&self.expected)?;
        match &self.mode {
            Mode::Bitwise => self.bitwise(data, got, &expected),
            Mode::TolTimesAbsum { tol, absum } => {
                let absum = self.values(data, absum, data.tensor(absum)?, None)?;
                self.within(data, dtype, got, expected, |i, _| {
                    absum.get(i).map_or(0.0, |a| tol * a)
                })
            }
            Mode::AllClose { atol, rtol } => {
                self.within(data, dtype, got, expected, |_, w| atol + rtol * w.abs())
            }
        }
    }

    fn bitwise(
        &self,
        data: &DataFile,
        got: &[u8],
        expected: &Tensor<'_>,
    ) -> Result<Compared, RecipeError> {
        if got.len() != expected.bytes.len() {
            return Err(self.lengths(data, got.len(), expected.bytes.len(), "bytes"));
        }
        let differs = |i: &usize| got[*i] != expected.bytes[*i];
        let first = (0..got.len()).find(differs).map(|i| {
            format!(
                "byte {i} is {:#04x}, expected {:#04x}",
                got[i], expected.bytes[i]
            )
        });
        Ok(Compared {
            output: self.output.clone(),
            mode: self.mode_name(),
            elements: got.len(),
            wrong: (0..got.len()).filter(differs).count(),
            first,
            worst: 0.0,
        })
    }

    fn within(
        &self,
        data: &DataFile,
        dtype: &str,
        got: &[u8],
        expected: Tensor<'_>,
        tolerance: impl Fn(usize, f64) -> f64,
    ) -> Result<Compared, RecipeError> {
        // Raw bits of the output's own type, or numbers in the file's type.
        let raw = (expected.bytes.len() == got.len()).then_some(dtype);
        let expected = self.values(data, &self.expected, expected, raw)?;
        let got = data::values(dtype, got).ok_or_else(|| self.unknown(data, dtype))?;
        if got.len() != expected.len() {
            return Err(self.lengths(data, got.len(), expected.len(), "elements"));
        }
        let mut compared = Compared {
            output: self.output.clone(),
            mode: self.mode_name(),
            elements: got.len(),
            wrong: 0,
            first: None,
            worst: 0.0,
        };
        for (i, (g, w)) in got.iter().zip(&expected).enumerate() {
            let allowed = tolerance(i, *w);
            let (error, close) = error_of(*g, *w, allowed);
            compared.worst = compared
                .worst
                .max(if error == 0.0 { 0.0 } else { error / allowed });
            if !close {
                compared.wrong += 1;
                compared.first.get_or_insert_with(|| {
                    format!("element {i} is {g}, expected {w} within {allowed}")
                });
            }
        }
        Ok(compared)
    }

    fn values(
        &self,
        data: &DataFile,
        name: &str,
        tensor: Tensor<'_>,
        raw: Option<&str>,
    ) -> Result<Vec<f64>, RecipeError> {
        let dtype = raw.unwrap_or(tensor.dtype);
        data::values(dtype, tensor.bytes)
            .ok_or_else(|| data.error(name, format!("has type {dtype}, which has no values here")))
    }

    fn unknown(&self, data: &DataFile, dtype: &str) -> RecipeError {
        data.error(
            &self.output,
            format!("type `{dtype}` has no values here; compare it bitwise"),
        )
    }

    fn lengths(&self, data: &DataFile, got: usize, expected: usize, what: &str) -> RecipeError {
        data.error(
            &self.expected,
            format!("has {expected} {what}, buffer `{}` has {got}", self.output),
        )
    }
}

/// The error and whether it is allowed. NaN equals NaN, infinities equal themselves.
fn error_of(got: f64, wanted: f64, allowed: f64) -> (f64, bool) {
    if got == wanted || got.is_nan() && wanted.is_nan() {
        return (0.0, true);
    }
    let error = (got - wanted).abs();
    if error.is_finite() {
        (error, error <= allowed)
    } else {
        (f64::INFINITY, false)
    }
}

#[cfg(test)]
mod tests {
    use super::error_of;

    #[test]
    fn special_values_equal_only_themselves() {
        assert!(error_of(f64::NAN, f64::NAN, 0.0).1);
        assert!(error_of(f64::INFINITY, f64::INFINITY, 0.0).1);
        assert!(!error_of(f64::NAN, 1.0, 1e30).1);
        assert!(!error_of(f64::INFINITY, 1.0, f64::INFINITY).1);
        assert!(!error_of(f64::NEG_INFINITY, f64::INFINITY, 1.0).1);
        assert_eq!(error_of(1.5, 1.0, 0.5), (0.5, true));
        assert_eq!(error_of(1.5, 1.0, 0.25), (0.5, false));
    }
}
