//! Kind i8: exact 32-bit integer sums, wrapping or saturating.

use super::super::descriptor::Format;

/// One product `A * B^T` of 8-bit integers with rows of 32 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a> {
    /// M rows of 32 bytes.
    pub a: &'a [u8],
    /// U8 or S8.
    pub a_format: Format,
    /// N rows of 32 bytes.
    pub b: &'a [u8],
    /// U8 or S8.
    pub b_format: Format,
    /// Clamp to i32 instead of wrapping.
    pub saturate: bool,
}

impl Product<'_> {
    /// `d[m * stride + n] (+)= A * B^T` in i32 bits.
    pub fn multiply(&self, d: &mut [u32], stride: usize, accumulate: bool) {
        for (a, cells) in self.a.chunks_exact(32).zip(d.chunks_mut(stride)) {
            for (b, cell) in self.b.chunks_exact(32).zip(cells) {
                let c = if accumulate {
                    i64::from(*cell as i32)
                } else {
                    0
                };
                let products = a
                    .iter()
                    .zip(b)
                    .map(|(&a, &b)| value(self.a_format, a) * value(self.b_format, b));
                let sum = c + products.sum::<i64>();
                *cell = match self.saturate {
                    true => sum.clamp(i32::MIN.into(), i32::MAX.into()) as u32,
                    false => sum as u32,
                };
            }
        }
    }
}

fn value(format: Format, byte: u8) -> i64 {
    if format == Format::S8 {
        i64::from(byte as i8)
    } else {
        i64::from(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_wrapping_and_saturation() {
        let (a, b) = ([0xFF; 32], [0x80; 32]);
        let run = |a_format, b_format, saturate, c: i32| {
            let mut d = [c as u32];
            Product {
                a: &a,
                a_format,
                b: &b,
                b_format,
                saturate,
            }
            .multiply(&mut d, 1, true);
            d[0] as i32
        };
        assert_eq!(run(Format::S8, Format::S8, false, 5), 32 * 128 + 5);
        assert_eq!(run(Format::U8, Format::S8, false, 0), -32 * 255 * 128);
        assert_eq!(
            run(Format::U8, Format::U8, false, i32::MAX),
            i32::MAX.wrapping_add(32 * 255 * 128)
        );
        assert_eq!(run(Format::U8, Format::U8, true, i32::MAX), i32::MAX);
        assert_eq!(run(Format::U8, Format::S8, true, i32::MIN), i32::MIN);
    }
}
