//! The inner loops of the reference, laid out so that the compiler vectorises them over the columns of C.
//!
//! A panel is 32 rows of B transposed to [k][lane], so that one vector holds the same k of 32 columns. Four rows of
//! A go through a panel together, which loads each vector of B once for four multiply-adds.

use super::reference::{NO_EXPONENT, Operand};
use super::{BLOCK, STEP, e2m1, e4m3};
use multiversion::multiversion;

/// Columns of C in a panel: 32 lanes of 16 bits fill one AVX-512 register.
pub const LANES: usize = 32;

/// Rows of A that share a pass over a panel.
pub const QUAD: usize = 4;

type Lanes<T> = [T; LANES];

/// All rows of A, four by four; missing rows of the last four are zero.
pub struct Rows {
    quads: usize,
    /// Doubled elements, [quad][k].
    codes: Vec<[i16; QUAD]>,
    /// Scales in units of 2^-9, [quad][block].
    scales: Vec<[i32; QUAD]>,
    /// Exponents of the scales, [quad][block].
    exponents: Vec<[i8; QUAD]>,
}

impl Rows {
    pub fn new(a: &Operand) -> Self {
        let (quads, blocks) = (a.rows().div_ceil(QUAD), a.k() / BLOCK);
        let mut rows = Self {
            quads,
            codes: vec![[0; QUAD]; quads * a.k()],
            scales: vec![[0; QUAD]; quads * blocks],
            exponents: vec![[zero_exponent(); QUAD]; quads * blocks],
        };
        for row in 0..a.rows() {
            let (quad, r) = (row / QUAD, row % QUAD);
            transpose_codes(a.row_codes(row), r, &mut rows.codes[quad * a.k()..]);
            let scales = &mut rows.scales[quad * blocks..];
            transpose_scales(
                a.row_scales(row),
                r,
                scales,
                &mut rows.exponents[quad * blocks..],
            );
        }
        rows
    }
}

/// Up to 32 rows of B, transposed; missing lanes are zero.
pub struct Panel {
    /// Doubled elements, [k][lane].
    codes: Vec<Lanes<i16>>,
    /// Scales in units of 2^-9, [block][lane].
    scales: Vec<Lanes<i32>>,
    /// Exponents of the scales, [block][lane].
    exponents: Vec<Lanes<i8>>,
}

impl Panel {
    pub fn new(b: &Operand) -> Self {
        let blocks = b.k() / BLOCK;
        let mut panel = Self {
            codes: vec![[0; LANES]; b.k()],
            scales: vec![[0; LANES]; blocks],
            exponents: vec![[zero_exponent(); LANES]; blocks],
        };
        for lane in 0..b.rows() {
            transpose_codes(b.row_codes(lane), lane, &mut panel.codes);
            transpose_scales(
                b.row_scales(lane),
                lane,
                &mut panel.scales,
                &mut panel.exponents,
            );
        }
        panel
    }
}

/// What one panel gives: 32 columns of C for all rows of A.
#[derive(Debug)]
pub struct Tile {
    pub quads: Vec<Part>,
}

/// Four rows by 32 columns of C; fields as in [`super::reference::Element`].
#[derive(Debug, Clone)]
pub struct Part {
    pub sums: [Lanes<i64>; QUAD],
    pub peaks: [Lanes<i64>; QUAD],
    pub exponents: [Lanes<i8>; QUAD],
}

impl Part {
    const EMPTY: Self = Self {
        sums: [[0; LANES]; QUAD],
        peaks: [[0; LANES]; QUAD],
        exponents: [[i8::MIN; LANES]; QUAD],
    };
}

/// Multiplies all rows of A with a panel of B.
pub fn multiply(rows: &Rows, panel: &Panel) -> Tile {
    let (k, blocks) = (panel.codes.len(), panel.scales.len());
    let mut quads = vec![Part::EMPTY; rows.quads];
    for (quad, part) in quads.iter_mut().enumerate() {
        multiply_quad(
            &rows.codes[quad * k..][..k],
            &rows.scales[quad * blocks..][..blocks],
            &rows.exponents[quad * blocks..][..blocks],
            panel,
            part,
        );
    }
    Tile { quads }
}

#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512dq+avx512vl",
    "x86_64+avx2",
    "aarch64+neon"
))]
fn multiply_quad(
    codes: &[[i16; QUAD]],
    scales: &[[i32; QUAD]],
    exponents: &[[i8; QUAD]],
    panel: &Panel,
    part: &mut Part,
) {
    const BLOCKS: usize = STEP / BLOCK;
    for step in 0..scales.len() / BLOCKS {
        for block in step * BLOCKS..(step + 1) * BLOCKS {
            let a = codes[block * BLOCK..].first_chunk().unwrap();
            let b = panel.codes[block * BLOCK..].first_chunk().unwrap();
            let dots = dot_block(a, b);
            for r in 0..QUAD {
                scale_and_add(
                    &dots[r],
                    scales[block][r],
                    &panel.scales[block],
                    &mut part.sums[r],
                );
                raise(
                    exponents[block][r],
                    &panel.exponents[block],
                    &mut part.exponents[r],
                );
            }
        }
        for r in 0..QUAD {
            for lane in 0..LANES {
                part.peaks[r][lane] = part.peaks[r][lane].max(part.sums[r][lane].abs());
            }
        }
    }
}

/// Four rows times 32 columns over one block of 16: sums of doubled products, at most 2,304 each.
#[inline(always)]
fn dot_block(a: &[[i16; QUAD]; BLOCK], b: &[Lanes<i16>; BLOCK]) -> [Lanes<i16>; QUAD] {
    let mut dots = [[0i16; LANES]; QUAD];
    for k in 0..BLOCK {
        for r in 0..QUAD {
            for lane in 0..LANES {
                dots[r][lane] = dots[r][lane].wrapping_add(a[k][r].wrapping_mul(b[k][lane]));
            }
        }
    }
    dots
}

/// Adds dot * SFA * SFB. The product with the first scale is below 2^30, so 32 bits hold it.
#[inline(always)]
fn scale_and_add(dots: &Lanes<i16>, sfa: i32, sfb: &Lanes<i32>, sums: &mut Lanes<i64>) {
    for lane in 0..LANES {
        let scaled = i32::from(dots[lane]).wrapping_mul(sfa);
        sums[lane] = sums[lane].wrapping_add(i64::from(scaled) * i64::from(sfb[lane]));
    }
}

/// Raises the largest exponent to that of SFA * SFB.
#[inline(always)]
fn raise(sfa: i8, sfb: &Lanes<i8>, exponents: &mut Lanes<i8>) {
    for lane in 0..LANES {
        exponents[lane] = exponents[lane].max(sfa + sfb[lane]);
    }
}

/// Stands for the exponent of a zero scale: added to any other it stays at [`NO_EXPONENT`] or below.
const fn zero_exponent() -> i8 {
    NO_EXPONENT as i8 - 9
}

fn transpose_codes<const L: usize>(packed: &[u8], lane: usize, out: &mut [[i16; L]]) {
    for (code, lanes) in e2m1::unpack(packed).zip(out) {
        lanes[lane] = i16::from(e2m1::DOUBLED[usize::from(code)]);
    }
}

/// NaN counts as zero here; the reference keeps track of it by row and column.
fn transpose_scales<const L: usize>(
    codes: &[u8],
    lane: usize,
    scales: &mut [[i32; L]],
    exponents: &mut [[i8; L]],
) {
    for ((&code, scales), exponents) in codes.iter().zip(scales).zip(exponents) {
        scales[lane] = e4m3::units(code).unwrap_or(0) as i32;
        exponents[lane] = e4m3::exponent(code).map_or(zero_exponent(), |e| e as i8);
    }
}
