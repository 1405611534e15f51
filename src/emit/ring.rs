//! What the rings of both targets have in common: barriers to initialise, and slabs of token scales.

/// A barrier to initialise.
pub(super) struct Barrier {
    pub name: String,
    pub offset: u32,
    pub arrivals: u32,
}

impl Barrier {
    /// So many barriers of one name, eight bytes each.
    pub fn row(
        name: &'static str,
        first: u32,
        count: u32,
        arrivals: u32,
    ) -> impl Iterator<Item = Barrier> {
        (0..count).map(move |i| Barrier {
            name: format!("{name} {i}"),
            offset: first + 8 * i,
            arrivals,
        })
    }
}

/// One slab of token scales in a stage. `guard` is empty where every tile has it.
pub(super) struct Slab {
    pub index: u32,
    pub offset: u32,
    pub guard: String,
}

impl Slab {
    /// The slabs of a stage, the first of them at `first`.
    pub fn all(count: u32, first: u32, bytes: u32, is_optional: impl Fn(u32) -> bool) -> Vec<Slab> {
        let slab = |index| Slab {
            index,
            offset: first + index * bytes,
            guard: if is_optional(index) {
                format!("@%slab{index} ")
            } else {
                String::new()
            },
        };
        (0..count).map(slab).collect()
    }

    pub fn guarded(&self) -> bool {
        !self.guard.is_empty()
    }

    pub fn before(&self) -> u32 {
        self.index - 1
    }
}
