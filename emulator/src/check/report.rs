//! Conflicts between two accesses, as a report names them.

use std::fmt;

use crate::machine::Site;

/// Two accesses that are not ordered as they must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// `shared`, `tensor` or `global`.
    pub space: &'static str,
    /// A byte address (shared: offset in the CTA; tensor: `lane << 16 | column`) that both touch.
    pub address: u64,
    /// CTA rank in the cluster that owns shared or tensor memory.
    pub owner: u32,
    /// What the party at the fault's site does.
    pub operation: &'static str,
    /// What the other party did.
    pub other_operation: &'static str,
    /// Where the other party stands.
    pub other: Site,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Conflict {
            space,
            address,
            owner,
            operation,
            other_operation,
            other,
        } = self;
        write!(f, "{operation} of {space} {address:#x}")?;
        if *space != "global" {
            write!(f, " (CTA rank {owner})")?;
        }
        write!(f, " after {other_operation} at {other}")
    }
}
