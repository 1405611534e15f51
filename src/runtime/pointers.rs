//! Where a group's operands are.

/// The device addresses of one group's operands: A, B, SFA, SFB and C.
///
/// As plain memory it is five addresses in this order, so that a table of them can come from C, or from a view of
/// `[u64; 5]`s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Pointers(pub(super) [u64; 5]);

impl Pointers {
    /// The addresses of a group, as `CUdeviceptr`s.
    ///
    /// | operand | bytes |
    /// |---|---|
    /// | `a`: tokens, two E2M1 codes a byte | M * K/2 |
    /// | `b`: weights | N * K/2 |
    /// | `sfa`: scales of A in blocked form, rows padded to 128 and columns to 4 | 512 * ceil(M/128) * ceil(K/64) |
    /// | `sfb`: scales of B, likewise | 512 * ceil(N/128) * ceil(K/64) |
    /// | `c`: output | M * N * bytes of its type |
    ///
    /// # Safety
    /// Until the work of every launch bound to them is done, they must lead to memory of these sizes that the device can
    /// reach, that nothing else writes, and, for C, that nothing else reads or writes. In a group without tokens they
    /// may be anything.
    pub const unsafe fn new(a: u64, b: u64, sfa: u64, sfb: u64, c: u64) -> Self {
        Pointers([a, b, sfa, sfb, c])
    }

    /// A table of addresses, one `[a, b, sfa, sfb, c]` a group, without a copy.
    ///
    /// # Safety
    /// As [`Pointers::new`].
    pub const unsafe fn from_table(table: &[[u64; 5]]) -> &[Self] {
        // SAFETY: transparent over `[u64; 5]`; what the addresses must be is the caller's promise.
        unsafe { std::slice::from_raw_parts(table.as_ptr().cast(), table.len()) }
    }

    /// The addresses, in the order A, B, SFA, SFB, C.
    pub const fn addresses(&self) -> [u64; 5] {
        self.0
    }
}
