//! A prepared launch: bind writes addresses, enqueue makes one driver call.

use std::ffi::c_void;
use std::fmt;
use std::sync::Arc;

use cudarc::driver::sys::{
    CUlaunchAttribute, CUlaunchAttributeID, CUlaunchAttributeValue,
    CUlaunchAttributeValue_union__bindgen_ty_1, CUlaunchConfig, CUresult,
};

use super::block::{Block, Outputs};
use super::driver::CallError;
use super::error::Error;
use super::kernel::Kernel;
use super::memory::Buffer;
use super::pointers::Pointers;
use super::stream::Stream;
use super::table::{Table, Tables};
use super::workspace::Workspace;
use crate::artifact::Location;

/// A launch that owns its parameter block. One thread at a time uses it; clones and other launches of the kernel are
/// independent of it. Dropping it waits for nothing, but for the tables of large sets, see [`Kernel::uses_table`].
///
/// Where the kernel [has a workspace](Kernel::has_workspace), the launch owns that too: its uses, those in graphs included,
/// must follow each other in one stream or by events, and a clone has to be bound before it is used.
pub struct Launch {
    kernel: Kernel,
    block: Block,
    outputs: Outputs,
    attributes: Attributes,
    bound: bool,
    /// Where the block is not a parameter of the kernel.
    tables: Option<Tables>,
    /// Where the kernel has one.
    workspace: Option<Workspace>,
}

/// Cluster shape, if there is a cluster, then programmatic dependence, which counts only if it is on.
#[derive(Clone, Copy)]
struct Attributes {
    list: [CUlaunchAttribute; 2],
    clusters: u32,
    programmatic: bool,
}

// SAFETY: the union could hold handles; these hold a cluster's shape and a flag.
unsafe impl Send for Attributes {}
// SAFETY: as above.
unsafe impl Sync for Attributes {}

impl Launch {
    pub(super) fn new(kernel: &Kernel) -> Self {
        let loaded = &kernel.loaded;
        // If it fails, launches come to the same answer and report it.
        let _ = loaded.device.adopt();
        Launch {
            kernel: kernel.clone(),
            block: loaded.template.clone(),
            outputs: loaded.binding.outputs(),
            attributes: Attributes::new(loaded.entry.launch.cluster),
            // A kernel without tiles is never launched and needs no addresses.
            bound: loaded.entry.tiles == 0,
            tables: match loaded.entry.parameters.location {
                Location::Parameter => None,
                Location::Device => Some(Tables::new(loaded.entry.parameters.bytes)),
            },
            workspace: Workspace::new(&loaded.entry.parameters),
        }
    }

    /// The kernel.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Writes the addresses of all groups, those without tokens included, into the parameter block. They hold for every
    /// `enqueue` until the next `bind`. After an error the launch is not bound.
    ///
    /// # Errors
    /// [`Error::Groups`], [`Error::Null`], [`Error::Misaligned`], [`Error::SameOutput`]; [`Error::Call`] only where
    /// [`Kernel::replaced_maps`] is not zero, or the first time where the kernel [has a
    /// workspace](Kernel::has_workspace).
    #[inline]
    pub fn bind(&mut self, pointers: &[Pointers]) -> Result<(), Error> {
        self.bound = false;
        if let Some(workspace) = &mut self.workspace {
            workspace.prepare(self.kernel.device(), &mut self.block)?;
        }
        if self.tables.is_some() {
            return self.bind_table(pointers);
        }
        self.store(pointers)
    }

    /// Launches the kernel on the stream with the addresses last bound. The driver copies the block: the launch may be
    /// bound again at once. A set without tokens launches nothing.
    ///
    /// Where [`Kernel::uses_table`], the addresses are first copied to device memory on the same stream, unless they are
    /// those of the launch before. Into a stream that is being captured nothing is copied: the graph refers to memory of
    /// this launch's, which must then live as long as the graph.
    ///
    /// # Errors
    /// [`Error::Unbound`], [`Error::Call`].
    #[inline]
    pub fn enqueue(&self, stream: &Stream) -> Result<(), Error> {
        if !self.bound {
            return Err(Error::Unbound);
        }
        if self.kernel.loaded.entry.tiles == 0 {
            return Ok(());
        }
        match &self.tables {
            None => self.enqueue_with(stream, self.block.as_ptr()),
            Some(tables) => self.enqueue_table(stream, tables),
        }
    }

    /// `bind` and `enqueue`.
    ///
    /// # Errors
    /// Of either.
    #[inline]
    pub fn launch(&mut self, stream: &Stream, pointers: &[Pointers]) -> Result<(), Error> {
        self.bind(pointers)?;
        self.enqueue(stream)
    }

    /// Whether the kernel may start while the one before it in the stream is still finishing (programmatic dependent
    /// launch). It waits by itself before it touches anything that the other writes. Off at first.
    ///
    /// # Errors
    /// [`Error::NotProgrammatic`] if the kernel was not made for it.
    pub fn set_programmatic(&mut self, on: bool) -> Result<(), Error> {
        if on && !self.kernel.is_programmatic() {
            return Err(Error::NotProgrammatic {
                key: self.kernel.key().to_owned(),
            });
        }
        self.attributes.programmatic = on;
        Ok(())
    }

    /// Refuses a launch that has no addresses.
    pub(super) fn check_bound(&self) -> Result<(), Error> {
        if self.bound {
            Ok(())
        } else {
            Err(Error::Unbound)
        }
    }

    /// Enqueues into a stream that captures a graph of which `table` becomes part.
    pub(super) fn capture(&self, stream: &Stream, table: Option<&Table>) -> Result<(), Error> {
        if self.kernel.loaded.entry.tiles == 0 {
            return Ok(());
        }
        self.enqueue_with(stream, self.parameter(table))
    }

    /// A table of the bound addresses that is never written again, for graphs; none where the block is a parameter.
    pub(super) fn freeze(&self) -> Result<Option<Arc<Table>>, Error> {
        let device = self.kernel.device();
        let freeze = |tables: &Tables| tables.freeze(device, &self.block);
        self.tables.as_ref().map(freeze).transpose()
    }

    /// As [`Launch::freeze`]; it lives as long as this launch.
    pub(super) fn keep(&self) -> Result<Option<Arc<Table>>, Error> {
        let device = self.kernel.device();
        let keep = |tables: &Tables| tables.keep(device, &self.block);
        self.tables.as_ref().map(keep).transpose()
    }

    /// The workspace, for graphs that refer to it; none where the kernel has none.
    pub(super) fn workspace(&self) -> Option<Arc<Buffer>> {
        self.workspace.as_ref().and_then(Workspace::memory)
    }

    /// The kernel's parameter, where the driver reads it: the block, or the address of a table.
    pub(super) fn parameter(&self, table: Option<&Table>) -> *const u64 {
        table.map_or(self.block.as_ptr(), Table::parameter)
    }

    #[inline]
    fn store(&mut self, pointers: &[Pointers]) -> Result<(), Error> {
        let binding = &self.kernel.loaded.binding;
        binding.store(&mut self.block, &mut self.outputs, pointers)?;
        if !binding.replaced.is_empty() {
            self.replace_addresses(pointers)?;
        }
        self.bound = true;
        Ok(())
    }

    #[inline(never)]
    fn bind_table(&mut self, pointers: &[Pointers]) -> Result<(), Error> {
        let held = self.tables.as_mut().map(Tables::begin_bind);
        self.store(pointers)?;
        if let (Some(tables), Some(held)) = (&mut self.tables, held) {
            tables.end_bind(held, pointers);
        }
        Ok(())
    }

    #[inline(never)]
    fn enqueue_table(&self, stream: &Stream, tables: &Tables) -> Result<(), Error> {
        let device = self.kernel.device();
        device.within(|| {
            let launch = |parameter| self.call(stream, parameter);
            tables.enqueue(device, &self.block, stream, launch)
        })
    }

    #[inline]
    fn enqueue_with(&self, stream: &Stream, parameter: *const u64) -> Result<(), Error> {
        match self.call(stream, parameter) {
            Ok(()) => Ok(()),
            Err(error) => self.call_in_context(stream, parameter, error),
        }
    }

    #[inline]
    fn call(&self, stream: &Stream, parameter: *const u64) -> Result<(), CallError> {
        let loaded = &*self.kernel.loaded;
        let shape = &loaded.entry.launch;
        let config = CUlaunchConfig {
            gridDimX: shape.grid[0],
            gridDimY: shape.grid[1],
            gridDimZ: shape.grid[2],
            blockDimX: shape.block[0],
            blockDimY: shape.block[1],
            blockDimZ: shape.block[2],
            sharedMemBytes: shape.dynamic_shared,
            hStream: stream.raw(),
            attrs: self.attributes.list.as_ptr().cast_mut(),
            numAttrs: self.attributes.count(),
        };
        let mut parameters = [parameter.cast_mut().cast()];
        // SAFETY: the function is loaded as long as `self.kernel`; it has one parameter, as large as the block or its
        // address (checked at load); the driver only reads it and the attributes, and keeps neither. That the addresses
        // in the block are good is what `Pointers::new` demands.
        unsafe {
            loaded.device.driver().cuLaunchKernelEx(
                &config,
                loaded.function.0,
                parameters.as_mut_ptr(),
                std::ptr::null_mut(),
            )
        }
    }

    /// A thread whose context is not the device's gets it for the time of a second attempt.
    #[cold]
    fn call_in_context(
        &self,
        stream: &Stream,
        parameter: *const u64,
        error: CallError,
    ) -> Result<(), Error> {
        let device = &self.kernel.loaded.device;
        let wrong_context = error.is(CUresult::CUDA_ERROR_INVALID_CONTEXT)
            || error.is(CUresult::CUDA_ERROR_INVALID_HANDLE);
        if wrong_context && device.is_foreign()? {
            return Ok(device.within(|| self.call(stream, parameter))?);
        }
        Err(error.into())
    }

    /// For tensor maps whose address is not a word of its own.
    #[cold]
    fn replace_addresses(&mut self, pointers: &[Pointers]) -> Result<(), Error> {
        let loaded = &*self.kernel.loaded;
        for slot in &loaded.binding.replaced {
            let address = pointers[slot.group as usize].0[slot.operand as usize];
            // SAFETY: a map was encoded at this word of the template; it lies within the block and is aligned to 64
            // bytes (checked at load).
            unsafe {
                let map = self.block.as_mut_ptr().add(slot.word as usize);
                (loaded.device.driver())
                    .cuTensorMapReplaceAddress(map.cast(), address as *mut c_void)?;
            }
        }
        Ok(())
    }
}

impl Attributes {
    fn new(cluster: [u32; 3]) -> Self {
        use CUlaunchAttributeID::*;
        let attribute = |id, value| CUlaunchAttribute {
            id,
            pad: [0; 4],
            value,
        };
        let programmatic = attribute(
            CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
            CUlaunchAttributeValue {
                programmaticStreamSerializationAllowed: 1,
            },
        );
        let [x, y, z] = cluster;
        let shape = attribute(
            CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
            CUlaunchAttributeValue {
                clusterDim: CUlaunchAttributeValue_union__bindgen_ty_1 { x, y, z },
            },
        );
        let clusters = u32::from(cluster != [1, 1, 1]);
        Attributes {
            list: if clusters == 1 {
                [shape, programmatic]
            } else {
                [programmatic, programmatic]
            },
            clusters,
            programmatic: false,
        }
    }

    #[inline]
    fn count(&self) -> u32 {
        self.clusters + u32::from(self.programmatic)
    }
}

impl Clone for Launch {
    fn clone(&self) -> Self {
        Launch {
            kernel: self.kernel.clone(),
            block: self.block.clone(),
            outputs: self.outputs.clone(),
            attributes: self.attributes,
            bound: self.bound && self.workspace.is_none(),
            tables: self.tables.clone(),
            workspace: Workspace::new(&self.kernel.loaded.entry.parameters),
        }
    }
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch")
            .field("kernel", &self.kernel.key())
            .field("bound", &self.bound)
            .field("programmatic", &self.attributes.programmatic)
            .finish()
    }
}
