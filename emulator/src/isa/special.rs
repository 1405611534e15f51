//! Special registers (PTX ISA, chapter 10). All but the clocks are constant for a thread, so they are ordinary
//! registers that are filled when the warp starts.

/// A predefined read-only register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Special {
    Tid(usize),
    Ntid(usize),
    Ctaid(usize),
    Nctaid(usize),
    LaneId,
    WarpId,
    NWarpId,
    WarpSize,
    Zero,
    SmId,
    NSmId,
    GridId,
    ClusterId(usize),
    NClusterId(usize),
    ClusterCtaid(usize),
    ClusterNctaid(usize),
    ClusterCtarank,
    ClusterNctarank,
    IsExplicitCluster,
    LaneMask(LaneMask),
    DynamicSharedSize,
    TotalSharedSize,
    /// Where `alloca` goes on: a register without a name, which starts behind the variables.
    StackPointer,
    /// Counts instructions of the cluster, for want of time.
    Clock,
}

/// `%lanemask_eq` and its kin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LaneMask {
    Eq,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Special {
    /// From its name with the percent sign.
    pub fn parse(name: &str) -> Option<Special> {
        let (base, axis) = match name.split_once('.') {
            Some((base, axis)) => (base, ["x", "y", "z", "w"].iter().position(|a| *a == axis)),
            None => (name, None),
        };
        let vector: Option<fn(usize) -> Special> = match base {
            "%tid" => Some(Special::Tid),
            "%ntid" => Some(Special::Ntid),
            "%ctaid" => Some(Special::Ctaid),
            "%nctaid" => Some(Special::Nctaid),
            "%clusterid" => Some(Special::ClusterId),
            "%nclusterid" => Some(Special::NClusterId),
            "%cluster_ctaid" => Some(Special::ClusterCtaid),
            "%cluster_nctaid" => Some(Special::ClusterNctaid),
            _ => None,
        };
        match (vector, axis) {
            (Some(make), Some(3)) => return (make(0) == Special::Tid(0)).then_some(Special::Zero),
            (Some(make), Some(axis)) => return Some(make(axis)),
            (None, None) => {}
            _ => return None,
        }
        Some(match name {
            "%laneid" => Special::LaneId,
            "%warpid" => Special::WarpId,
            "%nwarpid" => Special::NWarpId,
            "WARP_SZ" => Special::WarpSize,
            "%smid" => Special::SmId,
            "%nsmid" => Special::NSmId,
            "%gridid" => Special::GridId,
            "%cluster_ctarank" => Special::ClusterCtarank,
            "%cluster_nctarank" => Special::ClusterNctarank,
            "%is_explicit_cluster" => Special::IsExplicitCluster,
            "%lanemask_eq" => Special::LaneMask(LaneMask::Eq),
            "%lanemask_lt" => Special::LaneMask(LaneMask::Lt),
            "%lanemask_le" => Special::LaneMask(LaneMask::Le),
            "%lanemask_gt" => Special::LaneMask(LaneMask::Gt),
            "%lanemask_ge" => Special::LaneMask(LaneMask::Ge),
            "%dynamic_smem_size" => Special::DynamicSharedSize,
            "%total_smem_size" | "%aggr_smem_size" => Special::TotalSharedSize,
            "%clock" | "%clock_hi" | "%clock64" | "%globaltimer" | "%globaltimer_lo"
            | "%globaltimer_hi" => Special::Clock,
            _ => return None,
        })
    }

    /// The value, if it is the same everywhere.
    pub fn constant(self) -> Option<u64> {
        match self {
            Special::WarpSize => Some(32),
            Special::Zero => Some(0),
            _ => None,
        }
    }
}
