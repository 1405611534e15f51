use std::fmt;

/// Why data handed to this house cannot be an NVFP4 operand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NumericsError {
    /// A buffer does not have the number of bytes that the shape asks for.
    Length {
        /// Which buffer.
        what: &'static str,
        /// Bytes the shape asks for.
        expected: usize,
        /// Bytes handed over.
        got: usize,
    },
    /// K is not a multiple of 64 in the range where the exact sum fits.
    Depth {
        /// The offending K.
        k: usize,
    },
    /// The two operands of a product have different K.
    DepthMismatch {
        /// K of the first operand.
        a: usize,
        /// K of the second operand.
        b: usize,
    },
    /// A scale factor has its sign bit set. The tensor core reads the unsigned type and would ignore the sign.
    SignedScale {
        /// Row of the operand.
        row: usize,
        /// Scale column, that is k / 16.
        column: usize,
        /// The offending byte.
        code: u8,
    },
}

impl fmt::Display for NumericsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Length {
                what,
                expected,
                got,
            } => {
                write!(f, "{what}: {got} bytes where the shape asks for {expected}")
            }
            Self::Depth { k } => write!(
                f,
                "K = {k}: must be a multiple of {}, from {} to {}",
                super::STEP,
                super::STEP,
                super::MAX_K
            ),
            Self::DepthMismatch { a, b } => write!(f, "the operands disagree on K: {a} and {b}"),
            Self::SignedScale { row, column, code } => write!(
                f,
                "scale of row {row}, scale column {column} is 0x{code:02x}: its sign bit is set, but scales are \
                 unsigned; clear the bit (and negate the 16 elements if a negative scale was meant)"
            ),
        }
    }
}

impl std::error::Error for NumericsError {}
