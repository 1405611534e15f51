//! Launches: what the driver checks before a kernel may run.

use std::sync::Arc;

use crate::attributes::Limits;
use crate::driver::driver;
use crate::error::{Error, Outcome};
use crate::event::Event;
use crate::kernel::Function;
use crate::machine::Entry;
use crate::pointer::{Handle, Host, In};
use crate::types::LaunchAttribute;

/// Grid, block and memory of a launch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub shared: u32,
    /// Zeros if the launch does not say.
    pub cluster: [u32; 3],
    pub cooperative: bool,
}

/// What launch attributes say besides the shape.
#[derive(Clone, Copy)]
pub(crate) struct Extras {
    pub programmatic: bool,
    pub priority: Option<i32>,
    /// To be recorded once the kernel has run: a programmatic or launch-completion event.
    pub event: Handle<Event>,
}

impl Extras {
    pub(crate) const NONE: Self = Extras {
        programmatic: false,
        priority: None,
        event: Handle::NULL,
    };
}

/// A checked launch with its parameters.
pub(crate) struct Launch {
    pub function: Arc<Function>,
    pub handle: Handle<Function>,
    pub shape: Shape,
    pub extras: Extras,
    pub params: Params,
}

/// The parameter block, and where in it each parameter starts (what `cuGraphKernelNodeGetParams` hands out).
pub(crate) struct Params {
    pub bytes: Box<[u8]>,
    pub addresses: Box<[usize]>,
}

impl Params {
    fn new(bytes: Box<[u8]>, entry: &Entry) -> Self {
        let start = bytes.as_ptr() as usize;
        let addresses = entry
            .params
            .iter()
            .map(|param| start + param.offset)
            .collect();
        Params { bytes, addresses }
    }

    /// The same values elsewhere.
    pub(crate) fn duplicate(&self, entry: &Entry) -> Self {
        Self::new(self.bytes.clone(), entry)
    }
}

/// A caller's parameters in either form.
#[derive(Clone, Copy)]
pub(crate) struct Arguments {
    /// One pointer for each parameter.
    pub each: In<Host>,
    /// Keys and values of a packed buffer.
    pub packed: In<usize>,
}

/// Keys of `extra`.
const END: usize = 0;
const BUFFER_POINTER: usize = 1;
const BUFFER_SIZE: usize = 2;

impl Shape {
    /// Applies launch attributes. Those that only advise are accepted.
    pub(crate) fn apply(
        &mut self,
        attributes: In<LaunchAttribute>,
        count: u32,
    ) -> Result<Extras, Error> {
        let mut extras = Extras::NONE;
        for i in 0..count as usize {
            let attribute = attributes.at(i)?;
            let words = attribute.value.0;
            let low = words[0] as u32;
            match attribute.id {
                2 => self.cooperative = low != 0,
                4 => self.cluster = [low, (words[0] >> 32) as u32, words[1] as u32],
                6 => extras.programmatic = low != 0,
                7 | 12 => extras.event = Handle::from_bits(words[0] as usize),
                8 => extras.priority = Some(low as i32),
                13 if low != 0 => return Err(Error::NOT_SUPPORTED),
                0 | 1 | 3 | 5 | 9 | 10 | 11 | 13 | 14 | 16 | 17 | 18 => {}
                _ => return Err(Error::INVALID_VALUE),
            }
        }
        Ok(extras)
    }

    /// The cluster of the launch or of the kernel; `[1, 1, 1]` if neither says.
    pub(crate) fn cluster_of(&self, entry: &Entry) -> [u32; 3] {
        match self.cluster {
            [0, 0, 0] => entry.cluster.unwrap_or([1; 3]),
            cluster => cluster,
        }
    }

    /// The driver's checks.
    #[inline]
    pub(crate) fn check(&self, function: &Function) -> Outcome {
        let entry = function.entry();
        let [x, y, z] = self.grid;
        let [bx, by, bz] = self.block;
        let in_grid = x > 0 && y > 0 && z > 0 && x <= i32::MAX as u32 && y <= 65535 && z <= 65535;
        let in_block = bx > 0 && by > 0 && bz > 0 && bx <= 1024 && by <= 1024 && bz <= 64;
        if !in_grid || !in_block {
            return Err(Error::INVALID_VALUE);
        }
        let threads = bx * by * bz;
        if threads > 1024 || entry.max_threads.is_some_and(|most| threads > most) {
            return Err(Error::INVALID_VALUE);
        }
        if threads > function.max_threads() {
            return Err(Error::LAUNCH_OUT_OF_RESOURCES);
        }
        if entry
            .required_block
            .is_some_and(|required| required != self.block)
        {
            return Err(Error::INVALID_VALUE);
        }
        if self.shared > function.max_dynamic_shared() {
            return Err(Error::INVALID_VALUE);
        }
        self.check_cluster(function)
    }

    fn check_cluster(&self, function: &Function) -> Outcome {
        let entry = function.entry();
        if self.cluster == [0; 3] && entry.cluster.is_none() {
            return if entry.needs_cluster {
                Err(Error::INVALID_CLUSTER_SIZE)
            } else {
                Ok(())
            };
        }
        let cluster = self.cluster_of(entry);
        let size = (cluster.iter())
            .try_fold(1u32, |size, n| size.checked_mul(*n))
            .unwrap_or(0);
        let most = match function.allows_large_clusters() {
            true => Limits::of(&driver()?.config).max_cluster,
            false => Limits::PORTABLE_CLUSTER,
        };
        let divides = |i: usize| self.grid[i].is_multiple_of(cluster[i]);
        let as_declared = entry.cluster.is_none_or(|declared| declared == cluster);
        if size == 0 || size > most || !(0..3).all(divides) || !as_declared {
            return Err(Error::INVALID_CLUSTER_SIZE);
        }
        Ok(())
    }

    /// Blocks that must be resident together.
    pub(crate) fn blocks(&self) -> u64 {
        self.grid.iter().map(|n| u64::from(*n)).product()
    }
}

impl Arguments {
    /// Whether the arguments are there, without reading them.
    #[inline]
    pub(crate) fn check(&self, entry: &Entry) -> Outcome {
        if entry.params.is_empty() {
            return Ok(());
        }
        if self.each.is_null() == self.packed.is_null() {
            return Err(Error::INVALID_VALUE);
        }
        if !self.packed.is_null() {
            return self.buffer(entry).map(|_| ());
        }
        for i in 0..entry.params.len() {
            if self.each.at(i)?.is_null() {
                return Err(Error::INVALID_VALUE);
            }
        }
        Ok(())
    }

    /// Reads the arguments.
    pub(crate) fn read(&self, entry: &Entry) -> Result<Params, Error> {
        self.check(entry)?;
        let mut bytes = vec![0; entry.param_bytes].into_boxed_slice();
        if !entry.params.is_empty() && !self.packed.is_null() {
            self.buffer(entry)?.read(&mut bytes);
        } else {
            for (i, param) in entry.params.iter().enumerate() {
                self.each
                    .at(i)?
                    .read(&mut bytes[param.offset..param.offset + param.size]);
            }
        }
        Ok(Params::new(bytes, entry))
    }

    /// The packed buffer, which must hold all parameters.
    fn buffer(&self, entry: &Entry) -> Result<Host, Error> {
        let (mut buffer, mut size) = (None, None);
        for i in (0..).step_by(2) {
            match self.packed.at(i)? {
                END => break,
                BUFFER_POINTER => buffer = Some(Host::from_address(self.packed.at(i + 1)?)),
                BUFFER_SIZE => {
                    size = Some(Host::from_address(self.packed.at(i + 1)?).value::<usize>()?)
                }
                _ => return Err(Error::INVALID_VALUE),
            }
        }
        match (buffer, size) {
            (Some(buffer), Some(size)) if !buffer.is_null() && size >= entry.param_bytes => {
                Ok(buffer)
            }
            _ => Err(Error::INVALID_VALUE),
        }
    }
}
