//! Device memory that a kernel's launches work in, where sums over K are brought together through L2.
//!
//! It is zero before the first launch, and every launch leaves its counters at zero: whoever counts last sets them back. So
//! two launches that run at the same time need two of them, and launches one after the other none but the one.

use std::sync::Arc;

use super::block::Block;
use super::device::Device;
use super::error::Error;
use super::memory::Buffer;
use super::stream::Stream;
use crate::artifact::ParameterBlock;

/// The workspace of one prepared launch.
pub(super) struct Workspace {
    bytes: u32,
    /// The word of the block that holds its address.
    word: u32,
    memory: Option<Arc<Buffer>>,
}

impl Workspace {
    /// None if the kernel has none.
    pub fn new(block: &ParameterBlock) -> Option<Self> {
        (block.workspace_bytes > 0).then_some(Workspace {
            bytes: block.workspace_bytes,
            word: block.workspace_offset / 8,
            memory: None,
        })
    }

    /// The memory, for graphs that refer to it.
    pub fn memory(&self) -> Option<Arc<Buffer>> {
        self.memory.clone()
    }

    /// Allocates and zeroes the memory the first time, and writes its address into the block.
    ///
    /// # Errors
    /// [`Error::Call`].
    pub fn prepare(&mut self, device: &Device, block: &mut Block) -> Result<(), Error> {
        if self.memory.is_none() {
            let memory = Buffer::new(device, self.bytes as usize)?;
            let stream = Stream::new(device)?;
            memory.fill(&stream, 0)?;
            stream.synchronize()?;
            block.set(self.word, memory.address());
            self.memory = Some(Arc::new(memory));
        }
        Ok(())
    }
}
