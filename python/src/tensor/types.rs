//! Types, devices and layouts of memory, in DLPack's terms.

use std::fmt;

/// No array of any framework has more dimensions.
pub const MAX_DIMS: usize = 64;

/// An element type: DLPack's code, bits of a lane, lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Dtype {
    pub code: u8,
    pub bits: u8,
    pub lanes: u16,
}

/// A device: DLPack's number of its kind, and which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Place {
    pub kind: i32,
    pub index: i32,
}

/// Where an object's elements lie.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub address: u64,
    /// None if the object does not say.
    pub place: Option<Place>,
    pub dtype: Dtype,
    pub shape: &'a [i64],
    /// In elements; None is row-major.
    pub strides: Option<&'a [i64]>,
}

/// The same, put together from several answers.
#[derive(Clone, Debug)]
pub struct Owned {
    pub address: u64,
    pub place: Option<Place>,
    pub dtype: Dtype,
    pub shape: Vec<i64>,
    pub strides: Option<Vec<i64>>,
}

impl Dtype {
    pub const U8: Self = Self::new(1, 8, 1);
    pub const I8: Self = Self::new(0, 8, 1);
    pub const F16: Self = Self::new(2, 16, 1);
    pub const BF16: Self = Self::new(4, 16, 1);
    pub const F32: Self = Self::new(2, 32, 1);
    pub const F8_E4M3: Self = Self::new(10, 8, 1);
    pub const F4_E2M1_X2: Self = Self::new(17, 4, 2);

    const fn new(code: u8, bits: u8, lanes: u16) -> Self {
        Dtype { code, bits, lanes }
    }

    /// The type of a name of torch's or numpy's.
    pub fn of_name(name: &str) -> Option<Self> {
        let code = match name.trim_end_matches(char::is_numeric) {
            "uint" => 1,
            "int" => 0,
            "float" => 2,
            "complex" => 5,
            _ => {
                return match name {
                    "bfloat16" => Some(Self::BF16),
                    "float8_e4m3fn" => Some(Self::F8_E4M3),
                    "float8_e4m3fnuz" => Some(Self::new(11, 8, 1)),
                    "float8_e5m2" => Some(Self::new(12, 8, 1)),
                    "float8_e5m2fnuz" => Some(Self::new(13, 8, 1)),
                    "float8_e8m0fnu" => Some(Self::new(14, 8, 1)),
                    "float4_e2m1fn_x2" => Some(Self::F4_E2M1_X2),
                    "bool" => Some(Self::new(6, 8, 1)),
                    _ => None,
                };
            }
        };
        let bits = name.trim_start_matches(char::is_alphabetic).parse().ok()?;
        Some(Self::new(code, bits, 1))
    }

    /// The type of an array interface's type string, such as `<f2`; raw bytes count as unsigned.
    pub fn of_typestr(text: &str) -> Option<Self> {
        let kind = text.chars().nth(1)?;
        let bytes: u8 = text.get(2..)?.parse().ok()?;
        let code = match kind {
            'u' | 'V' => 1,
            'i' => 0,
            'f' => 2,
            'c' => 5,
            'b' => 6,
            _ => return None,
        };
        Some(Self::new(code, bytes.checked_mul(8)?, 1))
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Dtype { code, bits, lanes } = *self;
        match (code, bits, lanes) {
            (0, _, 1) => write!(f, "int{bits}"),
            (1, _, 1) => write!(f, "uint{bits}"),
            (2, _, 1) => write!(f, "float{bits}"),
            (4, 16, 1) => f.write_str("bfloat16"),
            (5, _, 1) => write!(f, "complex{bits}"),
            (6, _, 1) => f.write_str("bool"),
            (10, _, 1) => f.write_str("float8_e4m3fn"),
            (11, _, 1) => f.write_str("float8_e4m3fnuz"),
            (12, _, 1) => f.write_str("float8_e5m2"),
            (13, _, 1) => f.write_str("float8_e5m2fnuz"),
            (14, _, 1) => f.write_str("float8_e8m0fnu"),
            (17, 4, 2) => f.write_str("float4_e2m1fn_x2"),
            _ => write!(f, "DLPack's type {code} of {bits} bits, {lanes} lanes"),
        }
    }
}

impl Place {
    /// A CUDA device.
    pub const CUDA: i32 = 2;
    /// Memory that CUDA manages.
    pub const CUDA_MANAGED: i32 = 13;

    pub fn cuda(index: i32) -> Self {
        let kind = Self::CUDA;
        Place { kind, index }
    }

    pub fn is_cuda(self) -> bool {
        self.kind == Self::CUDA || self.kind == Self::CUDA_MANAGED
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            1 => f.write_str("the CPU"),
            2 | 13 => write!(f, "GPU {}", self.index),
            3 => f.write_str("the CPU (pinned memory)"),
            kind => write!(f, "a device of DLPack's kind {kind}"),
        }
    }
}

impl View<'_> {
    pub fn to_owned(self) -> Owned {
        Owned {
            address: self.address,
            place: self.place,
            dtype: self.dtype,
            shape: self.shape.to_vec(),
            strides: self.strides.map(<[i64]>::to_vec),
        }
    }
}

impl Owned {
    pub fn view(&self) -> View<'_> {
        View {
            address: self.address,
            place: self.place,
            dtype: self.dtype,
            shape: &self.shape,
            strides: self.strides.as_deref(),
        }
    }
}
