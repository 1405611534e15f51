//! Generic addresses: every space but global is a window in the 64-bit address space, and the shapes of shared addresses.
//!
//! The windows are this emulator's choice; only that they are disjoint and that the shared window holds
//! `rank << 24 | offset` (brief, 4.2) matters to programs.

/// A window of the generic address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    Global,
    Shared,
    Local,
    Const,
    Param,
}

const SIZE_BITS: u32 = 32;
const PARAM: u64 = 0x7C00 << SIZE_BITS;
const CONST: u64 = 0x7D00 << SIZE_BITS;
const LOCAL: u64 = 0x7E00 << SIZE_BITS;
const SHARED: u64 = 0x7F00 << SIZE_BITS;
const RANK_SHIFT: u32 = 24;

impl Window {
    /// The generic address of the window's first byte.
    pub fn base(self) -> u64 {
        match self {
            Window::Global => 0,
            Window::Shared => SHARED,
            Window::Local => LOCAL,
            Window::Const => CONST,
            Window::Param => PARAM,
        }
    }

    /// The window that a generic address falls into.
    pub fn of(address: u64) -> Window {
        match address >> SIZE_BITS << SIZE_BITS {
            SHARED => Window::Shared,
            LOCAL => Window::Local,
            CONST => Window::Const,
            PARAM => Window::Param,
            _ => Window::Global,
        }
    }
}

/// The shared address inside a generic one.
pub(crate) fn to_shared(address: u64) -> u32 {
    address as u32
}

/// The CTA rank in a shared address.
pub(crate) fn rank(address: u32) -> u32 {
    address >> RANK_SHIFT
}

/// The offset in a shared address.
pub(crate) fn offset(address: u32) -> u32 {
    address & ((1 << RANK_SHIFT) - 1)
}

/// The same offset in the CTA of another rank.
pub(crate) fn with_rank(address: u32, rank: u32) -> u32 {
    offset(address) | rank << RANK_SHIFT
}
