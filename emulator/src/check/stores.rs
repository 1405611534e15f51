//! Bulk and tensor copies from shared to global memory, and copies that lanes make alike.

use super::footprint::copy_footprint;
use super::shadow::{Entry, Operation};
use super::stream::{Key, Ticket};
use super::{Check, digest};
use crate::machine::{Agent, FaultKind, GlobalMemory, Site, Work};

impl Check {
    /// Bulk stores: reading the source and writing the destination complete separately.
    pub(super) fn issue_store(
        &mut self,
        agent: Agent,
        work: &Work,
        group: u32,
        ticket: &Ticket,
        memory: &GlobalMemory,
    ) -> Result<(), FaultKind> {
        let read = self.stream(Key::BulkRead(agent.thread()));
        let entry = self.operation(agent, Operation::Copy(work.name()), read, group + 1);
        self.touch_all(&copy_footprint(work), &ticket.thread, entry)?;
        self.outstanding(agent.rank, entry);
        let stream = self.stream(Key::BulkWrite(agent.thread()));
        self.global_operation(
            &ticket.thread,
            Entry {
                stream,
                write: true,
                strong: work.reduces(),
                value: self.of_launch(self.stored_alike(agent, &entry, work)),
                ..entry
            },
            work,
            memory,
        )
    }

    /// A digest that is equal for stores of the same bytes: by lanes of one warp that execute an instruction together,
    /// from one source to one destination.
    pub(super) fn stored_alike(&self, agent: Agent, entry: &Entry, work: &Work) -> u32 {
        let Site {
            cta: [x, y, z],
            warp,
            ..
        } = self.gang.borrow().site(entry);
        let steps = self.warps[self.local(agent.rank, agent.warp)].steps;
        let words = [x, y, z, warp, steps];
        let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        match work {
            Work::TensorStore {
                map,
                coordinates,
                src,
                operation: None,
                ..
            } => {
                bytes.extend(map.encode());
                bytes.extend(coordinates.iter().flat_map(|c| c.to_le_bytes()));
                bytes.extend(src.offset.to_le_bytes());
            }
            Work::BulkStore {
                dst,
                src,
                bytes: len,
                mask,
                reduction: None,
            } => {
                bytes.extend(dst.to_le_bytes());
                let words = [src.offset, *len, u32::from(*mask)];
                bytes.extend(words.iter().flat_map(|w| w.to_le_bytes()));
            }
            Work::Small {
                dst,
                src,
                size,
                valid,
            } => {
                bytes.extend(src.to_le_bytes());
                let words = [dst.rank, dst.offset, *size, *valid];
                bytes.extend(words.iter().flat_map(|w| w.to_le_bytes()));
            }
            _ => return 0,
        }
        digest(&bytes)
    }
}
