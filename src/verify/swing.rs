//! How far a running sum may swing between two multiples of 128 of K, whatever the order in which products are added.
//!
//! The sum over any of the products of two vectors is at most the product of their norms. So each operand's row gives one
//! norm for each 128 of K, and an element's swing is the largest product of its two rows' norms.

use crate::numerics::reference::Operand;
use crate::numerics::{BLOCK, e2m1, e4m3};

/// K elements within which the order is free.
const SPAN: usize = 128;

/// The norms of both operands' rows.
#[derive(Debug)]
pub struct Swings {
    spans: usize,
    /// [row][span]
    a: Vec<f32>,
    /// [row][span]
    b: Vec<f32>,
}

impl Swings {
    /// The norms of the rows of two operands of the same K.
    pub fn of(a: &Operand<'_>, b: &Operand<'_>) -> Self {
        Self {
            spans: a.k().div_ceil(SPAN),
            a: norms(a),
            b: norms(b),
        }
    }

    /// The swing of the element at `row` and `column` of the product.
    ///
    /// # Panics
    /// If there is no such element.
    pub fn at(&self, row: usize, column: usize) -> f64 {
        let a = &self.a[row * self.spans..][..self.spans];
        let b = &self.b[column * self.spans..][..self.spans];
        let largest = a.iter().zip(b).map(|(a, b)| a * b).fold(0.0, f32::max);
        // Rounding of the norms and of their product.
        f64::from(largest) * (1.0 + 2f64.powi(-18))
    }
}

fn norms(operand: &Operand<'_>) -> Vec<f32> {
    let row = |row: usize| {
        let codes = operand.row_codes(row).chunks(SPAN / 2);
        let scales = operand.row_scales(row).chunks(SPAN / BLOCK);
        codes.zip(scales).map(|(codes, scales)| norm(codes, scales))
    };
    (0..operand.rows()).flat_map(row).collect()
}

fn norm(codes: &[u8], scales: &[u8]) -> f32 {
    let of_block = |(codes, &scale): (&[u8], &u8)| {
        // A NaN scale makes the element NaN, and no bound is asked for.
        let scale = e4m3::units(scale).unwrap_or(0) as f64 * 2f64.powi(-9);
        let squares: u32 = e2m1::unpack(codes)
            .map(|code| i32::from(e2m1::DOUBLED[usize::from(code)]).pow(2) as u32)
            .sum();
        scale * scale * f64::from(squares) / 4.0
    };
    let sum: f64 = codes.chunks(BLOCK / 2).zip(scales).map(of_block).sum();
    sum.sqrt() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 192 of K: one span and a half. All elements 1.5, one scale of 2 among ones.
    #[test]
    fn the_largest_product_of_norms() {
        let codes = vec![0x33; 96];
        let (even, mut uneven) = ([0x38; 12], [0x38; 12]);
        uneven[9] = 0x40;
        let ones = Operand::new(1, 192, &codes, &even).unwrap();
        let mixed = Operand::new(1, 192, &codes, &uneven).unwrap();
        let swings = Swings::of(&ones, &mixed);
        let first = 128.0 * 2.25;
        assert!((swings.at(0, 0) - first).abs() < first * 1e-4);
        let other = Swings::of(&mixed, &mixed);
        let second = (48.0 + 16.0 * 4.0) * 2.25;
        assert!(second < first && (other.at(0, 0) - first).abs() < first * 1e-4);
    }
}
