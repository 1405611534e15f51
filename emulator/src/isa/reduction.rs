//! The operations of `atom`, `red` and `cp.reduce.async.bulk` (PTX ISA, 9.7.13.12, 9.7.13.13, 9.7.9.25.4.2 and
//! 9.7.9.27.1.3), element by element.

use half::{bf16, f16};

use super::types::{Two, Ty, Value};
use crate::engine::tensor_map::ElementType;

/// New value as a function of old, b and c.
pub(super) type Update = fn(u64, u64, u64) -> u64;

/// A reduction of memory by memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reduction {
    update: Update,
    /// Of an element.
    bytes: usize,
}

impl Reduction {
    /// None if the type has no such operation.
    pub fn new(operation: &str, ty: Ty) -> Option<Self> {
        let update = update(operation, ty)?;
        let bytes = ty.bytes() as usize;
        Some(Reduction { update, bytes })
    }

    /// What a tensor reduction does to elements of a map.
    pub fn of_tensor(operation: &str, element: ElementType) -> Option<Self> {
        let bitwise = matches!(operation, "and" | "or" | "xor");
        let ty = match element {
            ElementType::U32 | ElementType::S32 if bitwise => Ty::B32,
            ElementType::U64 | ElementType::S64 if bitwise => Ty::B64,
            ElementType::U32 => Ty::U32,
            ElementType::S32 => Ty::S32,
            ElementType::U64 => Ty::U64,
            ElementType::S64 => Ty::S64,
            ElementType::F16 => Ty::F16,
            ElementType::Bf16 => Ty::Bf16,
            ElementType::F32 | ElementType::F32Ftz => Ty::F32,
            ElementType::F64 => Ty::F64,
            _ => return None,
        };
        Reduction::new(operation, ty)
    }

    /// Combines the elements of `with` into those of `memory`.
    pub fn apply(self, memory: &mut [u8], with: &[u8]) {
        let word = |bytes: &[u8]| {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            u64::from_le_bytes(word)
        };
        let elements = memory.chunks_exact_mut(self.bytes);
        for (old, new) in elements.zip(with.chunks_exact(self.bytes)) {
            let result = (self.update)(word(old), word(new), 0);
            old.copy_from_slice(&result.to_le_bytes()[..self.bytes]);
        }
    }
}

fn on<T: Value>(g: impl Fn(T, T) -> T, a: u64, b: u64) -> u64 {
    g(T::from_word(a), T::from_word(b)).word()
}

fn add_half(a: f16, b: f16) -> f16 {
    f16::from_f32(a.to_f32() + b.to_f32())
}

fn add_bf16(a: bf16, b: bf16) -> bf16 {
    bf16::from_f32(a.to_f32() + b.to_f32())
}

fn f16_min(a: f16, b: f16) -> f16 {
    if a.is_nan() || b < a { b } else { a }
}

fn f16_max(a: f16, b: f16) -> f16 {
    if a.is_nan() || b > a { b } else { a }
}

fn bf16_min(a: bf16, b: bf16) -> bf16 {
    if a.is_nan() || b < a { b } else { a }
}

fn bf16_max(a: bf16, b: bf16) -> bf16 {
    if a.is_nan() || b > a { b } else { a }
}

/// The new value for each operation and type.
pub(super) fn update(operation: &str, ty: Ty) -> Option<Update> {
    Some(match (operation, ty) {
        ("and", Ty::B32 | Ty::B64) => |a, b, _| a & b,
        ("or", Ty::B32 | Ty::B64) => |a, b, _| a | b,
        ("xor", Ty::B32 | Ty::B64) => |a, b, _| a ^ b,
        ("exch", Ty::B32 | Ty::B64) => |_, b, _| b,
        ("cas", Ty::B16 | Ty::B32 | Ty::B64) => |a, b, c| if a == b { c } else { a },
        ("add", Ty::U32 | Ty::S32) => |a, b, _| on(u32::wrapping_add, a, b),
        ("add", Ty::U64 | Ty::S64) => |a, b, _| a.wrapping_add(b),
        ("add", Ty::F32) => |a, b, _| on(|a: f32, b: f32| a + b, a, b),
        ("add", Ty::F64) => |a, b, _| on(|a: f64, b: f64| a + b, a, b),
        ("add", Ty::F16) => |a, b, _| on(add_half, a, b),
        ("add", Ty::Bf16) => |a, b, _| on(add_bf16, a, b),
        ("add", Ty::F16x2) => |a, b, _| {
            on(
                |a: Two<f16>, b| Two(add_half(a.0, b.0), add_half(a.1, b.1)),
                a,
                b,
            )
        },
        ("add", Ty::Bf16x2) => |a, b, _| {
            on(
                |a: Two<bf16>, b| Two(add_bf16(a.0, b.0), add_bf16(a.1, b.1)),
                a,
                b,
            )
        },
        ("min", Ty::F16) => |a, b, _| on(f16_min, a, b),
        ("max", Ty::F16) => |a, b, _| on(f16_max, a, b),
        ("min", Ty::Bf16) => |a, b, _| on(bf16_min, a, b),
        ("max", Ty::Bf16) => |a, b, _| on(bf16_max, a, b),
        ("min", Ty::F16x2) => |a, b, _| {
            on(
                |a: Two<f16>, b| Two(f16_min(a.0, b.0), f16_min(a.1, b.1)),
                a,
                b,
            )
        },
        ("max", Ty::F16x2) => |a, b, _| {
            on(
                |a: Two<f16>, b| Two(f16_max(a.0, b.0), f16_max(a.1, b.1)),
                a,
                b,
            )
        },
        ("min", Ty::Bf16x2) => |a, b, _| {
            on(
                |a: Two<bf16>, b| Two(bf16_min(a.0, b.0), bf16_min(a.1, b.1)),
                a,
                b,
            )
        },
        ("max", Ty::Bf16x2) => |a, b, _| {
            on(
                |a: Two<bf16>, b| Two(bf16_max(a.0, b.0), bf16_max(a.1, b.1)),
                a,
                b,
            )
        },
        ("min", Ty::U32 | Ty::U64) => |a, b, _| a.min(b),
        ("max", Ty::U32 | Ty::U64) => |a, b, _| a.max(b),
        ("min", Ty::S32) => |a, b, _| on(i32::min, a, b),
        ("max", Ty::S32) => |a, b, _| on(i32::max, a, b),
        ("min", Ty::S64) => |a, b, _| on(i64::min, a, b),
        ("max", Ty::S64) => |a, b, _| on(i64::max, a, b),
        ("inc", Ty::U32) => |a, b, _| if a >= b { 0 } else { a + 1 },
        ("dec", Ty::U32) => |a, b, _| if a == 0 || a > b { b } else { a - 1 },
        _ => return None,
    })
}

pub(super) const OPERATIONS: [&str; 10] = [
    "and", "or", "xor", "cas", "exch", "add", "inc", "dec", "min", "max",
];
