//! `wgmma.mma_async` (sm_90a): 64 x N x 32 bytes with D in the registers of four warps (brief, 5.1).

mod sparse;

use super::super::Error;
use super::super::descriptor::{Accumulator, Format, SharedMatrix};
use super::fused::{self, Output};
use super::operands::{ROW, shared_rows};
use super::{MmaError, integer};

/// Rows of D.
const M: usize = 64;
/// Threads of a warpgroup.
const THREADS: usize = 128;

/// The qualifiers and immediates of one `wgmma.mma_async`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wgmma {
    /// N: 8 to 256, multiple of 8.
    pub n: usize,
    /// Element format of A.
    pub a: Format,
    /// Element format of B.
    pub b: Format,
    /// Format of D.
    pub d: Accumulator,
    /// scale-d predicate: false gives D = A*B.
    pub accumulate: bool,
    /// imm-scale-a is -1.
    pub negate_a: bool,
    /// imm-scale-b is -1.
    pub negate_b: bool,
    /// imm-trans-a (descriptor form only).
    pub transpose_a: bool,
    /// imm-trans-b.
    pub transpose_b: bool,
    /// `.satfinite` (integer forms only).
    pub saturate: bool,
    /// Of A the half of each row is stored that is not zero: rows of B have 64 bytes.
    pub sparse: bool,
}

/// Where `wgmma.mma_async` finds A.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AOperand<'a> {
    /// A shared-memory matrix descriptor.
    Shared(u64),
    /// Register r (0 to 3) of lane t of warp w at `[(w * 32 + t) * 4 + r]`: 512 registers.
    Registers(&'a [u32]),
}

impl Wgmma {
    /// Registers of D per thread.
    pub fn d_registers(&self) -> usize {
        match self.d {
            Accumulator::F16 => self.n / 4,
            _ => self.n / 2,
        }
    }

    /// Bytes of a row of B along K.
    pub fn row_of_b(&self) -> usize {
        if self.sparse { 2 * ROW } else { ROW }
    }

    /// Computes the whole operation, which is not sparse. `d[(w * 32 + t) * d_registers + i]` is register i of lane t of warp w of the
    /// warpgroup; its length is 128 times [`Wgmma::d_registers`].
    pub fn execute(
        &self,
        a: AOperand<'_>,
        b: u64,
        shared: &[u8],
        d: &mut [u32],
    ) -> Result<(), Error> {
        self.check(d.len())?;
        let a = self.gather_a(a, shared)?;
        let mut rows_b = Vec::new();
        shared_rows(
            shared,
            &SharedMatrix::decode_sm90(b)?,
            self.n,
            self.b,
            self.transpose_b,
            &mut rows_b,
        )?;
        let mut matrix = self.matrix(d);
        self.multiply(&a, &rows_b, &mut matrix);
        self.scatter(&matrix, d);
        Ok(())
    }

    fn check(&self, registers: usize) -> Result<(), Error> {
        if !(8..=256).contains(&self.n) || !self.n.is_multiple_of(8) {
            return Err(MmaError::WgmmaShape { n: self.n }.into());
        }
        use {Accumulator as D, Format::*};
        let legal = matches!(
            (self.a, self.b, self.d),
            (F16, F16, D::F16 | D::F32)
                | (Bf16, Bf16, D::F32)
                | (Tf32, Tf32, D::F32)
                | (E4m3 | E5m2, E4m3 | E5m2, D::F16 | D::F32)
                | (U8 | S8, U8 | S8, D::S32)
        );
        let has_transpose = matches!(self.a, F16 | Bf16);
        if !legal || (self.transpose_a || self.transpose_b) && !has_transpose {
            return Err(MmaError::WgmmaFormats {
                a: self.a,
                b: self.b,
            }
            .into());
        }
        let needed = THREADS * self.d_registers();
        if registers != needed {
            return Err(MmaError::RegisterCount {
                given: registers,
                needed,
            }
            .into());
        }
        Ok(())
    }

    fn gather_a(&self, a: AOperand<'_>, shared: &[u8]) -> Result<Vec<u8>, Error> {
        let mut rows = Vec::new();
        match a {
            AOperand::Shared(bits) => {
                let matrix = SharedMatrix::decode_sm90(bits)?;
                shared_rows(shared, &matrix, M, self.a, self.transpose_a, &mut rows)?;
            }
            AOperand::Registers(registers) => {
                let needed = 4 * THREADS;
                if registers.len() != needed {
                    return Err(MmaError::RegisterCount {
                        given: registers.len(),
                        needed,
                    }
                    .into());
                }
                rows.resize(M * ROW, 0);
                for (index, register) in registers.iter().enumerate() {
                    let (thread, r) = (index / 4, index % 4);
                    let row = fragment_row(thread) + 8 * (r & 1);
                    let byte = 16 * (r >> 1) + 4 * (thread % 4);
                    rows[row * ROW + byte..][..4].copy_from_slice(&register.to_le_bytes());
                }
            }
        }
        Ok(rows)
    }

    fn multiply(&self, a: &[u8], b: &[u8], d: &mut [u32]) {
        let (a_format, b_format) = (self.a, self.b);
        if self.d == Accumulator::S32 {
            let product = integer::Product {
                a,
                a_format,
                b,
                b_format,
                saturate: self.saturate,
            };
            return product.multiply(d, self.n, self.accumulate);
        }
        let is_fp8 = matches!(self.a, Format::E4m3 | Format::E5m2);
        let product = fused::Product {
            a,
            a_format,
            b,
            b_format,
            scales_a: &[Some(0); M][..a.len() / ROW],
            scales_b: &[Some(0); 256][..self.n],
            negate: self.negate_a != self.negate_b,
            fraction: if is_fp8 {
                fused::FRACTION_HOPPER_FP8
            } else {
                fused::FRACTION
            },
            output: match self.d {
                Accumulator::F16 => Output::F16,
                _ if is_fp8 => Output::F32Fraction13,
                _ => Output::F32,
            },
            scale_c: 0,
        };
        product.multiply(d, self.n, self.accumulate);
    }

    /// Row and column of the element that is half h of register i of a thread of the warpgroup (h is 0 unless D is f16).
    fn element(&self, thread: usize, i: usize, h: usize) -> (usize, usize) {
        // Registers of f16 hold two neighbouring columns.
        let i = if self.d == Accumulator::F16 {
            2 * i + h
        } else {
            i
        };
        (
            fragment_row(thread) + 8 * (i >> 1 & 1),
            8 * (i >> 2) + 2 * (thread % 4) + (i & 1),
        )
    }

    /// D as a row-major 64 x N matrix.
    fn matrix(&self, d: &[u32]) -> Vec<u32> {
        let mut matrix = vec![0; M * self.n];
        let per_thread = self.d_registers();
        for (index, &register) in d.iter().enumerate() {
            for h in 0..self.halves() {
                let (row, column) = self.element(index / per_thread, index % per_thread, h);
                matrix[row * self.n + column] = if self.halves() == 2 {
                    register >> (16 * h) & 0xFFFF
                } else {
                    register
                };
            }
        }
        matrix
    }

    fn scatter(&self, matrix: &[u32], d: &mut [u32]) {
        let per_thread = self.d_registers();
        for (index, register) in d.iter_mut().enumerate() {
            let value = |h| {
                let (row, column) = self.element(index / per_thread, index % per_thread, h);
                matrix[row * self.n + column]
            };
            *register = if self.halves() == 2 {
                value(0) | value(1) << 16
            } else {
                value(0)
            };
        }
    }

    fn halves(&self) -> usize {
        if self.d == Accumulator::F16 { 2 } else { 1 }
    }
}

/// The first row of a thread's fragments: `16 * warp + lane / 4`.
fn fragment_row(thread: usize) -> usize {
    16 * (thread / 32) + thread % 32 / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(row: usize, k: usize) -> f32 {
        ((row * 7 + k * 3) % 13) as f32 - 6.0
    }

    fn f16(value: f32) -> u32 {
        u32::from(half::f16::from_f32(value).to_bits())
    }

    /// B [n][k] of f16 in unswizzled core matrices at 0, A after it.
    fn shared(n: usize) -> Vec<u8> {
        let mut shared = vec![0; 16384];
        for (base, rows, seed) in [(0, n, 5), (8192, M, 0)] {
            for row in 0..rows {
                for k in 0..16 {
                    let at = base + row / 8 * 256 + k / 8 * 128 + row % 8 * 16 + k % 8 * 2;
                    shared[at..at + 2]
                        .copy_from_slice(&(f16(value(row + seed, k)) as u16).to_le_bytes());
                }
            }
        }
        shared
    }

    fn registers_of_a() -> Vec<u32> {
        let register = |index: usize| {
            let (thread, r) = (index / 4, index % 4);
            let (row, k) = (
                fragment_row(thread) + 8 * (r & 1),
                2 * (thread % 4) + 8 * (r >> 1),
            );
            f16(value(row, k)) | f16(value(row, k + 1)) << 16
        };
        (0..512).map(register).collect()
    }

    fn plain(d: Accumulator) -> Wgmma {
        Wgmma {
            n: 24,
            a: Format::F16,
            b: Format::F16,
            d,
            accumulate: true,
            negate_a: false,
            negate_b: false,
            transpose_a: false,
            transpose_b: false,
            saturate: false,
            sparse: false,
        }
    }

    /// Leading 128 (next 16 bytes of K), stride 256 (next 8 rows).
    fn descriptor(start: u64) -> u64 {
        16 << 32 | 8 << 16 | start >> 4
    }

    #[test]
    fn fragments_and_descriptors_give_the_product() {
        for d_format in [Accumulator::F32, Accumulator::F16] {
            for negate_b in [false, true] {
                let wgmma = Wgmma {
                    negate_b,
                    ..plain(d_format)
                };
                let one = if d_format == Accumulator::F32 {
                    1f32.to_bits()
                } else {
                    f16(1.0) | f16(1.0) << 16
                };
                let registers = registers_of_a();
                for a in [
                    AOperand::Shared(descriptor(8192)),
                    AOperand::Registers(&registers),
                ] {
                    let mut d = vec![one; 128 * wgmma.d_registers()];
                    wgmma
                        .execute(a, descriptor(0), &shared(24), &mut d)
                        .unwrap();
                    for (index, &register) in d.iter().enumerate() {
                        for h in 0..wgmma.halves() {
                            let (row, n) = wgmma.element(
                                index / wgmma.d_registers(),
                                index % wgmma.d_registers(),
                                h,
                            );
                            let dot: f32 = (0..16).map(|k| value(row, k) * value(n + 5, k)).sum();
                            let expected = 1.0 + if negate_b { -dot } else { dot };
                            let got = match d_format {
                                Accumulator::F32 => f32::from_bits(register),
                                _ => half::f16::from_bits((register >> (16 * h)) as u16).to_f32(),
                            };
                            assert_eq!(got, expected);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn refusals() {
        let refused = |wgmma: Wgmma, registers| {
            wgmma
                .execute(
                    AOperand::Shared(descriptor(0)),
                    descriptor(0),
                    &[0; 16384],
                    &mut vec![0; registers],
                )
                .unwrap_err()
        };
        let plain = plain(Accumulator::F32);
        assert_eq!(
            refused(Wgmma { n: 12, ..plain }, 0),
            MmaError::WgmmaShape { n: 12 }.into()
        );
        assert_eq!(
            refused(plain, 5),
            MmaError::RegisterCount {
                given: 5,
                needed: 1536
            }
            .into()
        );
        let mixed = MmaError::WgmmaFormats {
            a: Format::F16,
            b: Format::Bf16,
        };
        assert_eq!(
            refused(
                Wgmma {
                    b: Format::Bf16,
                    ..plain
                },
                1536
            ),
            mixed.into()
        );
        let transposed = Wgmma {
            a: Format::E4m3,
            b: Format::E4m3,
            transpose_b: true,
            ..plain
        };
        assert!(matches!(
            refused(transposed, 1536),
            Error::Mma(MmaError::WgmmaFormats { .. })
        ));
    }
}
