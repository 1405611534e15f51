//! The manifest: everything about a kernel that is not in its text.

use serde::{Deserialize, Serialize};

/// All kernels of one target directory, `generated/<target>/manifest.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format; readers refuse others.
    pub format: u32,
    /// The target the kernels were made for, e.g. `sm_100a`.
    pub target: String,
    /// Version of nvfp4gen that wrote the directory.
    pub generator: String,
    /// The kernels, in the order of the shape files.
    #[serde(default, rename = "kernel")]
    pub kernels: Vec<KernelEntry>,
}

/// The machine code of a library, `cubins.toml` beside the manifest.
///
/// A list of its own, because it depends on the machine that built it: on whether there was an assembler, and which. The
/// manifest and the PTX do not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cubins {
    /// Version of this format; readers refuse others.
    pub format: u32,
    /// At most one for each kernel.
    #[serde(default, rename = "cubin")]
    pub cubins: Vec<CubinEntry>,
}

/// Machine code of one kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CubinEntry {
    /// The kernel's key.
    pub key: String,
    /// File name, relative to the manifest.
    pub file: String,
    /// The architecture that it was assembled for, e.g. `sm_100a`.
    pub architecture: String,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// SHA-256 of the PTX text that it was assembled from: of other text it is not the machine code.
    pub ptx_sha256: String,
}

/// One kernel: PTX text and its manifest entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// What the manifest says of it. `entry.sha256` is the hash of `ptx`.
    pub entry: KernelEntry,
    /// The PTX text.
    pub ptx: String,
    /// The machine code that an assembler made of it for the library's target.
    pub cubin: Option<Vec<u8>>,
}

/// What a caller must know to load, bind and launch one kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelEntry {
    /// The shape key.
    pub key: String,
    /// The name of the set in its shape file.
    pub name: String,
    /// File name of the PTX, relative to the manifest.
    pub file: String,
    /// SHA-256 of the PTX text, in hexadecimal.
    pub sha256: String,
    /// Name of the `.entry` in the module.
    pub function: String,
    /// The `.version` of the PTX, which a driver must know.
    pub ptx_version: String,
    /// Tiles of the output that the kernel computes.
    pub tiles: u32,
    /// K-block stages in the shared-memory ring.
    pub stages: u32,
    /// Parts that a sum over K is cut into at most. Each is summed by itself, so a different number gives different last
    /// bits.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub split_k: u32,
    /// Columns of tensor memory that each CTA allocates.
    pub tensor_memory_columns: u32,
    /// Full problem sizes and options.
    pub sizes: Sizes,
    /// Grid, block, cluster and dynamic shared memory.
    pub launch: LaunchShape,
    /// What the static schedule expects of the device.
    #[serde(default)]
    pub schedule: ScheduleFacts,
    /// Tensor maps and pointers, and how the kernel gets them.
    pub parameters: ParameterBlock,
}

/// Problem sizes of a set, one entry a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sizes {
    /// Tokens per group (rows of A and C).
    pub m: Vec<u32>,
    /// Weight rows per group (rows of B, columns of C).
    pub n: Vec<u32>,
    /// Length of the sum.
    pub k: Vec<u32>,
    /// Element type of C: `f16`.
    pub output: String,
    /// `static` if no kernel that may still run writes B and SFB, else `dynamic`.
    pub weights: String,
}

/// The shape of a launch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchShape {
    /// CTAs in x, y and z.
    pub grid: [u32; 3],
    /// Threads in x, y and z.
    pub block: [u32; 3],
    /// CTAs per cluster in x, y and z.
    pub cluster: [u32; 3],
    /// Dynamic shared memory in bytes.
    pub dynamic_shared: u32,
}

/// What a static schedule expects of the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleFacts {
    /// The number of SMs that it was balanced for; 0 if it does not matter. On other devices the kernel is right all the
    /// same, and not as fast as it could be.
    #[serde(default)]
    pub tuned_sms: u32,
    /// Whether CTAs wait for each other, so that all of them must be on the device at the same time.
    #[serde(default)]
    pub co_resident: bool,
}

/// All parameters of a kernel together have at most so many bytes (CUDA 12.1 and later).
pub const MAX_PARAMETER_BYTES: u32 = 32_764;

/// How a kernel gets its block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Location {
    /// The block is the kernel's one parameter, passed by value.
    #[default]
    Parameter,
    /// The block is a table in device memory, and the kernel's one parameter its 64-bit address.
    Device,
}

/// The block: tensor maps first, raw pointers after them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterBlock {
    /// How the kernel gets it.
    #[serde(default)]
    pub location: Location,
    /// Size in bytes, at most [`MAX_PARAMETER_BYTES`] where it is a parameter.
    pub bytes: u32,
    /// Alignment of the block in bytes.
    pub alignment: u32,
    /// Bytes of device memory that launches of the kernel work in, one after the other; 0 for none. They are zero before
    /// the first launch, and every launch leaves what the next one needs.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub workspace_bytes: u32,
    /// Offset in the block of the workspace's eight-byte address, if there is a workspace.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub workspace_offset: u32,
    /// 128-byte tensor maps. Groups without tokens have none.
    #[serde(default)]
    pub tensor_maps: Vec<TensorMapSlot>,
    /// Eight-byte device addresses. Groups without tokens have none.
    #[serde(default)]
    pub pointers: Vec<PointerSlot>,
}

fn one() -> u32 {
    1
}

fn is_one(value: &u32) -> bool {
    *value == 1
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// One of the five operands of a group, named as the caller names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operand {
    /// Tokens, [M, K/2] bytes.
    A,
    /// Weights, [N, K/2] bytes.
    B,
    /// Token scales, blocked form.
    Sfa,
    /// Weight scales, blocked form.
    Sfb,
    /// Output, [M, N].
    C,
}

/// A tensor map in the parameter block: the arguments of `cuTensorMapEncodeTiled` but for the address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorMapSlot {
    /// Byte offset in the block.
    pub offset: u32,
    /// Index of the group in the set.
    pub group: u32,
    /// The operand whose address the map holds.
    pub operand: Operand,
    /// Element type, as in PTX: `u8`.
    pub element: String,
    /// Extents in elements, innermost first.
    pub dims: Vec<u64>,
    /// Byte strides of dimensions 1 and up.
    pub strides: Vec<u64>,
    /// Box extents in elements, innermost first.
    #[serde(rename = "box")]
    pub tile: Vec<u32>,
    /// Bytes of the shared-memory swizzle span: 0, 32, 64 or 128.
    pub swizzle: u32,
    /// Bytes of L2 promotion: 0, 64, 128 or 256.
    pub l2_promotion: u32,
}

/// An address in the parameter block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointerSlot {
    /// Byte offset in the block.
    pub offset: u32,
    /// Index of the group in the set.
    pub group: u32,
    /// The operand it points to.
    pub operand: Operand,
}

impl ParameterBlock {
    /// Bytes of the kernel's one parameter: the block, or its address.
    pub fn parameter_bytes(&self) -> u32 {
        match self.location {
            Location::Parameter => self.bytes,
            Location::Device => size_of::<u64>() as u32,
        }
    }
}

impl CubinEntry {
    /// Whether it was assembled from the text that the entry describes.
    pub fn is_of(&self, entry: &KernelEntry) -> bool {
        self.key == entry.key && self.ptx_sha256 == entry.sha256
    }
}

impl Kernel {
    /// Joins text and entry; the entry's hash is computed here.
    pub fn new(mut entry: KernelEntry, ptx: String) -> Self {
        entry.sha256 = super::sha256(&ptx);
        Kernel {
            entry,
            ptx,
            cubin: None,
        }
    }
}
