//! Asynchronous operations with their operands, as they were when they were issued.

use super::agent::Agent;
use super::fault::FaultKind;
use super::mbarrier::SharedAddress;
use super::perform::check_bulk;
use crate::check::Ticket;
use crate::engine;
use crate::engine::descriptor::{CtaGroup, SharedMatrix};
use crate::engine::mma::{AOperand, Mma};
use crate::engine::tensor_map::TensorMap;
use crate::engine::tensor_memory::CopyShape;
use crate::engine::tma::{BoxCopy, Direction};
use crate::isa::Reduction;

/// How a tensor copy walks its map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BoxMode {
    Tile,
    /// `.tile::gather4` and `.tile::scatter4`.
    FourRows,
    /// `.im2col`, with its offsets.
    Im2col([u16; 3]),
}

/// The copy that a mode makes of a box.
pub(crate) fn box_copy(
    map: &TensorMap,
    coordinates: &[i32],
    mode: BoxMode,
    shared: u32,
    window: u32,
    direction: Direction,
) -> Result<BoxCopy, FaultKind> {
    match mode {
        BoxMode::Tile => BoxCopy::tiled(map, coordinates, shared, window, direction),
        BoxMode::FourRows => BoxCopy::four_rows(map, coordinates, shared, window, direction),
        BoxMode::Im2col(offsets) => {
            BoxCopy::im2col(map, coordinates, offsets, shared, window, direction)
        }
    }
    .map_err(|e| FaultKind::engine(e.into()))
}

/// An operation with its operands, as they were when it was issued.
#[derive(Debug)]
pub(crate) enum Work {
    TensorLoad {
        map: Box<TensorMap>,
        coordinates: [i32; 5],
        count: usize,
        mode: BoxMode,
        dst: SharedAddress,
        barrier: SharedAddress,
        mask: Option<u16>,
        pair: bool,
    },
    TensorStore {
        map: Box<TensorMap>,
        coordinates: [i32; 5],
        count: usize,
        mode: BoxMode,
        src: SharedAddress,
        /// What a reduction does.
        operation: Option<&'static str>,
    },
    BulkLoad {
        dst: SharedAddress,
        src: u64,
        bytes: u32,
        barrier: SharedAddress,
        mask: Option<u16>,
    },
    BulkShared {
        dst: SharedAddress,
        src: SharedAddress,
        bytes: u32,
        barrier: SharedAddress,
        reduction: Option<Reduction>,
    },
    BulkStore {
        dst: u64,
        src: SharedAddress,
        bytes: u32,
        reduction: Option<Reduction>,
        /// Which bytes of each 16 are copied.
        mask: u16,
    },
    /// `st.async` and `red.async`.
    Deposit(Deposit),
    /// `clusterlaunchcontrol.try_cancel`.
    Cancel {
        dst: SharedAddress,
        barrier: SharedAddress,
        mask: Option<u16>,
    },
    Small {
        dst: SharedAddress,
        src: u64,
        size: u32,
        valid: u32,
    },
    SmallArrive {
        barrier: SharedAddress,
    },
    Multiply(Box<Mma>),
    TensorCopy {
        group: CtaGroup,
        shape: CopyShape,
        address: u32,
        matrix: u64,
        /// 4-bit elements become bytes.
        expands: bool,
    },
    Commit {
        barrier: SharedAddress,
        mask: Option<u16>,
    },
}

/// What a thread stores in shared memory without waiting for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deposit {
    pub dst: SharedAddress,
    pub bytes: [u8; 16],
    pub len: u32,
    pub defined: bool,
    pub barrier: SharedAddress,
    pub reduction: Option<Reduction>,
}

/// An operation in flight.
#[derive(Debug)]
pub(crate) struct AsyncOp {
    pub agent: Agent,
    /// The thread's group counter when it was issued.
    pub group: u32,
    /// What the checks remember of it, if they are on.
    pub ticket: Option<Ticket>,
    pub work: Work,
}

impl Work {
    pub fn name(&self) -> &'static str {
        match self {
            Work::TensorLoad { .. } => "tensor load",
            Work::TensorStore {
                operation: Some(_), ..
            } => "tensor reduction",
            Work::TensorStore { .. } => "tensor store",
            Work::BulkShared {
                reduction: Some(_), ..
            }
            | Work::BulkStore {
                reduction: Some(_), ..
            } => "bulk reduction",
            Work::BulkLoad { .. } | Work::BulkShared { .. } => "bulk load",
            Work::BulkStore { .. } => "bulk store",
            Work::Deposit(Deposit {
                reduction: Some(_), ..
            }) => "red.async",
            Work::Deposit(_) => "st.async",
            Work::Cancel { .. } => "clusterlaunchcontrol.try_cancel",
            Work::Small { .. } => "cp.async",
            Work::SmallArrive { .. } => "cp.async.mbarrier.arrive",
            Work::Multiply(_) => "tcgen05.mma",
            Work::TensorCopy { .. } => "tcgen05.cp",
            Work::Commit { .. } => "tcgen05.commit",
        }
    }

    /// What is illegal whenever the operation may happen, so that it is found where it is issued.
    pub fn check(&self, strict: bool) -> Result<(), engine::Error> {
        let matrix = |bits| -> Result<(), engine::Error> {
            let matrix = SharedMatrix::decode_sm100(bits)?;
            if strict {
                matrix.check_pattern()?;
            }
            Ok(())
        };
        match self {
            Work::TensorCopy { matrix: bits, .. } => matrix(*bits),
            Work::Multiply(mma) => {
                if let AOperand::Shared(bits) = mma.a {
                    matrix(bits)?;
                }
                matrix(mma.b)?;
                mma.decode().map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// Bulk copies are aligned (PTX ISA, 9.7.9.25.4).
    pub fn check_alignment(&self) -> Result<(), FaultKind> {
        match self {
            Work::BulkLoad {
                src: address,
                bytes,
                ..
            }
            | Work::BulkStore {
                dst: address,
                bytes,
                ..
            } => check_bulk(*address, *bytes),
            _ => Ok(()),
        }
    }

    pub(super) fn is_tensor_core(&self) -> bool {
        matches!(
            self,
            Work::Multiply(_) | Work::TensorCopy { .. } | Work::Commit { .. }
        )
    }

    /// True if it combines with what memory holds, element by element and atomically.
    pub fn reduces(&self) -> bool {
        matches!(
            self,
            Work::TensorStore {
                operation: Some(_),
                ..
            } | Work::BulkStore {
                reduction: Some(_),
                ..
            } | Work::BulkShared {
                reduction: Some(_),
                ..
            } | Work::Deposit(Deposit {
                reduction: Some(_),
                ..
            })
        )
    }

    /// `Some(bulk)` for members of bulk groups and of `cp.async` groups.
    pub(super) fn group_kind(&self) -> Option<bool> {
        match self {
            Work::TensorStore { .. } | Work::BulkStore { .. } => Some(true),
            Work::Small { .. } => Some(false),
            _ => None,
        }
    }

    /// The barriers that hear of the completion.
    pub fn signals(&self) -> Vec<SharedAddress> {
        match self {
            Work::TensorLoad {
                dst,
                barrier,
                mask,
                pair,
                ..
            } => targets(*dst, *mask)
                .map(|d| barrier_of(d, *barrier, *mask, *pair))
                .collect(),
            Work::BulkLoad {
                dst, barrier, mask, ..
            }
            | Work::Cancel { dst, barrier, mask } => targets(*dst, *mask)
                .map(|d| barrier_of(d, *barrier, *mask, false))
                .collect(),
            Work::BulkShared { barrier, .. }
            | Work::SmallArrive { barrier }
            | Work::Deposit(Deposit { barrier, .. }) => vec![*barrier],
            Work::Commit { barrier, mask, .. } => targets(*barrier, *mask).collect(),
            _ => Vec::new(),
        }
    }
}

/// The runs of bytes that a mask for each 16 selects, as offset and length.
pub(crate) fn masked_runs(bytes: u32, mask: u16) -> Vec<(u32, u32)> {
    if mask == u16::MAX {
        return vec![(0, bytes)];
    }
    let is_set = |at: u32| mask >> (at % 16) & 1 != 0;
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for at in (0..bytes).filter(|&at| is_set(at)) {
        match runs.last_mut() {
            Some((start, len)) if *start + *len == at => *len += 1,
            _ => runs.push((at, 1)),
        }
    }
    runs
}

/// The CTAs a copy or signal goes to: the same offset in every CTA of the mask, or just the one.
pub(crate) fn targets(at: SharedAddress, mask: Option<u16>) -> impl Iterator<Item = SharedAddress> {
    let mask = mask.map_or(1 << at.rank, u32::from);
    (0..16)
        .filter(move |rank| mask >> rank & 1 != 0)
        .map(move |rank| SharedAddress {
            rank,
            offset: at.offset,
        })
}

/// The barrier that a copy to `dst` signals. Multicast goes to the same offset in each destination CTA; with
/// `.cta_group::2` to the CTA of the destination's pair that the barrier address names.
pub(super) fn barrier_of(
    dst: SharedAddress,
    barrier: SharedAddress,
    mask: Option<u16>,
    pair: bool,
) -> SharedAddress {
    let rank = match (mask, pair) {
        (None, _) => barrier.rank,
        (Some(_), true) => dst.rank & !1 | barrier.rank & 1,
        (Some(_), false) => dst.rank,
    };
    SharedAddress {
        rank,
        offset: barrier.offset,
    }
}
