//! Memory as an instruction sees it: by state space, or by generic address.

use super::{Space, Step};
use crate::check::digest;
use crate::engine::tensor_map::TensorMap;
use crate::machine::agent::AccessKind;
use crate::machine::fault::FaultKind;
use crate::machine::mbarrier::SharedAddress;
use crate::machine::window;
use crate::machine::window::Window;

impl Step<'_> {
    /// The CTA and offset of a shared address. `.shared::cta` reaches one's own CTA only. Generic addresses may also be
    /// plain shared ones: compilers pass those, zero-extended, to mbarrier operands that are written without a space.
    pub fn shared_address(
        &mut self,
        lane: usize,
        space: Space,
        address: u64,
    ) -> Result<SharedAddress, FaultKind> {
        self.lane = Some(lane as u32);
        let generic = space == Space::Generic;
        if generic && address >> 32 != 0 && Window::of(address) != Window::Shared {
            return Err(FaultKind::operand(
                lane,
                format!("generic address {address:#x} does not lie in shared memory"),
            ));
        }
        let address = window::to_shared(address);
        let at = SharedAddress {
            rank: window::rank(address),
            offset: window::offset(address),
        };
        if space == Space::Shared && at.rank != self.warp.rank {
            let near = format!(
                "it names CTA rank {}, .shared::cta is rank {} here",
                at.rank, self.warp.rank
            );
            return Err(FaultKind::OutOfBounds {
                space: "shared",
                address: address.into(),
                bytes: 0,
                near,
            });
        }
        self.state.check_shared(at, 0, 1)?;
        Ok(at)
    }

    /// Reads with the natural alignment of the access.
    pub fn read(
        &mut self,
        lane: usize,
        space: Space,
        address: u64,
        kind: AccessKind,
        out: &mut [u8],
    ) -> Result<(), FaultKind> {
        self.check_aligned(lane, space, address, out.len())?;
        self.read_bytes(lane, space, address, kind, out)
    }

    /// Writes with the natural alignment of the access.
    pub fn write(
        &mut self,
        lane: usize,
        space: Space,
        address: u64,
        kind: AccessKind,
        bytes: &[u8],
    ) -> Result<(), FaultKind> {
        self.check_aligned(lane, space, address, bytes.len())?;
        self.write_bytes(lane, space, address, kind, bytes)
    }

    /// An address must be a multiple of `len`.
    pub fn check_aligned(
        &mut self,
        lane: usize,
        space: Space,
        address: u64,
        len: usize,
    ) -> Result<(), FaultKind> {
        self.lane = Some(lane as u32);
        if len > 0 && !address.is_multiple_of(len as u64) {
            return Err(FaultKind::Misaligned {
                space: name(self.concrete(space, address).0),
                address,
                needed: len as u64,
            });
        }
        Ok(())
    }

    /// The space behind a generic address, and the address in it.
    pub(in crate::machine) fn concrete(&self, space: Space, address: u64) -> (Space, u64) {
        if space != Space::Generic {
            return (space, address);
        }
        let window = Window::of(address);
        let inside = address.wrapping_sub(window.base());
        match window {
            Window::Global => (Space::Global, inside),
            Window::Shared => (Space::SharedCluster, inside),
            Window::Local => (Space::Local, inside),
            Window::Const => (Space::Const, inside),
            Window::Param => (Space::Param, inside),
        }
    }

    /// Reads any number of bytes.
    pub fn read_bytes(
        &mut self,
        lane: usize,
        space: Space,
        address: u64,
        kind: AccessKind,
        out: &mut [u8],
    ) -> Result<(), FaultKind> {
        self.lane = Some(lane as u32);
        let (space, address) = self.concrete(space, address);
        match space {
            Space::Global | Space::Generic => {
                self.grid.global.read(address, out)?;
                self.global_access(lane, address, out.len(), kind, 0)
            }
            Space::Shared | Space::SharedCluster => {
                let at = self.shared_address(lane, space, address)?;
                out.copy_from_slice(self.state.shared_read(
                    self.agent(lane),
                    at,
                    kind,
                    out.len() as u32,
                )?);
                Ok(())
            }
            Space::Const => copy_out(self.grid.constants, "const", address, out),
            Space::Param => copy_out(self.grid.params, "param", address, out),
            Space::Local => {
                let local = self.local(lane, address, out.len())?;
                out.copy_from_slice(local);
                Ok(())
            }
        }
    }

    /// Writes any number of bytes.
    pub fn write_bytes(
        &mut self,
        lane: usize,
        space: Space,
        address: u64,
        kind: AccessKind,
        bytes: &[u8],
    ) -> Result<(), FaultKind> {
        self.lane = Some(lane as u32);
        let (space, address) = self.concrete(space, address);
        match space {
            Space::Global | Space::Generic => {
                self.state.counts.bytes_stored += bytes.len() as u64;
                self.grid.global.write(address, bytes)?;
                self.global_access(lane, address, bytes.len(), kind, digest(bytes))
            }
            Space::Shared | Space::SharedCluster => {
                let at = self.shared_address(lane, space, address)?;
                self.state.shared_write(self.agent(lane), at, kind, bytes)
            }
            Space::Local => {
                self.local(lane, address, bytes.len())?
                    .copy_from_slice(bytes);
                Ok(())
            }
            Space::Const | Space::Param => Err(FaultKind::operand(
                lane,
                format!("{} memory cannot be written", name(space)),
            )),
        }
    }

    /// Replaces `len` bytes by a function of them; returns what was there.
    pub fn update(
        &mut self,
        lane: usize,
        space: Space,
        address: u64,
        len: usize,
        change: impl Fn(u64) -> u64,
    ) -> Result<u64, FaultKind> {
        let mut bytes = [0; 8];
        self.read(lane, space, address, AccessKind::Atomic, &mut bytes[..len])?;
        let old = u64::from_le_bytes(bytes);
        let new = change(old).to_le_bytes();
        self.write(lane, space, address, AccessKind::Atomic, &new[..len])?;
        self.state.progress += 1;
        Ok(old)
    }

    fn local(&mut self, lane: usize, address: u64, len: usize) -> Result<&mut [u8], FaultKind> {
        let size = self.grid.local_bytes as usize;
        let fits = (address as usize)
            .checked_add(len)
            .is_some_and(|end| end <= size);
        if !fits {
            let near = format!("the thread has {size} bytes");
            return Err(FaultKind::OutOfBounds {
                space: "local",
                address,
                bytes: len as u64,
                near,
            });
        }
        let start = lane * size + address as usize;
        Ok(&mut self.warp.local[start..start + len])
    }

    /// The tensor map at a generic address: of a parameter, of constant or of global memory.
    pub fn tensor_map(&mut self, lane: usize, address: u64) -> Result<Box<TensorMap>, FaultKind> {
        if !address.is_multiple_of(64) {
            return Err(FaultKind::Misaligned {
                space: "tensor map",
                address,
                needed: 64,
            });
        }
        let mut bytes = [0; 128];
        self.read_bytes(
            lane,
            Space::Generic,
            address,
            AccessKind::AsyncLoad,
            &mut bytes,
        )?;
        TensorMap::decode(&bytes)
            .map(Box::new)
            .map_err(|e| FaultKind::engine(e.into()))
    }
}

fn name(space: Space) -> &'static str {
    match space {
        Space::Generic => "generic",
        Space::Global => "global",
        Space::Shared | Space::SharedCluster => "shared",
        Space::Const => "const",
        Space::Local => "local",
        Space::Param => "param",
    }
}

fn copy_out(
    memory: &[u8],
    space: &'static str,
    address: u64,
    out: &mut [u8],
) -> Result<(), FaultKind> {
    let start = address as usize;
    let end = start
        .checked_add(out.len())
        .filter(|end| *end <= memory.len());
    let Some(end) = end else {
        let near = format!("the space has {} bytes", memory.len());
        return Err(FaultKind::OutOfBounds {
            space,
            address,
            bytes: out.len() as u64,
            near,
        });
    };
    out.copy_from_slice(&memory[start..end]);
    Ok(())
}
