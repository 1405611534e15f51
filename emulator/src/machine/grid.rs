//! A launch that can run: what its threads find when they start.

use super::backlog::Backlog;
use super::device::{Checks, DeviceConfig};
use super::global::GlobalMemory;
use super::launch::{Launch, check_block, cluster_of, volume};
use super::module::{Entry, Module};
use super::warp::{Fragment, Warp};
use crate::check::Registers;
use crate::isa::{Code, LaneMask, Special};

/// The largest shared memory of a CTA on sm_90 and sm_100, in bytes.
const MAX_SHARED: u32 = 232_448;
/// The register file poison: a NaN in each half.
const REGISTER_POISON: u64 = 0x7FFF_DEAD_7FFF_DEAD;

/// All that is constant during a launch.
pub(crate) struct Grid<'a> {
    pub code: &'a Code,
    /// Such as `sm_100a`.
    pub target: &'a str,
    pub params: &'a [u8],
    pub constants: &'a [u8],
    pub globals: &'a [u64],
    pub global: &'a GlobalMemory,
    pub dims: [u32; 3],
    pub block: [u32; 3],
    pub block_threads: u32,
    pub cluster: [u32; 3],
    pub explicit_cluster: bool,
    /// Offset of dynamic shared memory.
    pub dynamic_base: u32,
    pub dynamic_bytes: u32,
    /// Size of the shared window of a CTA.
    pub shared_bytes: u32,
    pub local_bytes: u32,
    pub instruction_limit: u64,
    pub sm_count: u32,
    pub checks: Checks,
    /// Number of the launch among those that may overlap. From 1 on it starts before the one in front of it is complete.
    pub launch: usize,
    /// Clusters that have not started, where clusters take turns.
    pub backlog: Backlog,
}

impl<'a> Grid<'a> {
    /// Checks a launch against its entry.
    pub fn new(
        module: &'a Module,
        entry: &'a Entry,
        launch: &'a Launch,
        global: &'a GlobalMemory,
        globals: &'a [u64],
        config: &DeviceConfig,
    ) -> Result<Self, String> {
        let cluster = cluster_of(entry, launch)?;
        check_block(entry, launch)?;
        if launch.params.len() != entry.param_bytes as usize {
            return Err(format!(
                "the entry takes {} parameter bytes, got {}",
                entry.param_bytes,
                launch.params.len()
            ));
        }
        let code = &entry.code;
        // Dynamic shared memory starts 1024-aligned whatever the PTX states; production compilers rely on it.
        let dynamic_base = code.shared_end.next_multiple_of(1024);
        let wanted = code.shared_end - crate::isa::STATIC_SHARED;
        if u64::from(wanted) + u64::from(launch.dynamic_shared) > MAX_SHARED.into() {
            return Err(format!(
                "{} + {} bytes of shared memory, a CTA has {MAX_SHARED}",
                wanted, launch.dynamic_shared
            ));
        }
        let end = if launch.dynamic_shared > 0 {
            dynamic_base + launch.dynamic_shared
        } else {
            code.shared_end
        };
        Ok(Grid {
            code,
            target: &module.target,
            params: &launch.params,
            constants: &module.constants,
            globals,
            global,
            dims: launch.grid,
            block: launch.block,
            block_threads: volume(launch.block) as u32,
            cluster,
            explicit_cluster: entry.cluster.is_some() || launch.cluster != [1, 1, 1],
            dynamic_base,
            dynamic_bytes: launch.dynamic_shared,
            shared_bytes: end,
            local_bytes: code.local_bytes,
            instruction_limit: config.instruction_limit,
            sm_count: config.sm_count,
            checks: config.checks,
            launch: 0,
            backlog: Backlog::new(volume(launch.grid) / volume(cluster)),
        })
    }

    pub fn clusters(&self) -> u64 {
        volume(self.dims) / volume(self.cluster)
    }

    fn cluster_id(&self, index: u64) -> [u32; 3] {
        let count: [u64; 3] = std::array::from_fn(|i| u64::from(self.dims[i] / self.cluster[i]));
        [
            (index % count[0]) as u32,
            (index / count[0] % count[1]) as u32,
            (index / (count[0] * count[1])) as u32,
        ]
    }

    fn position(&self, rank: u32) -> [u32; 3] {
        let [x, y, _] = self.cluster;
        [rank % x, rank / x % y, rank / (x * y)]
    }

    /// `%ctaid` of each CTA of a cluster, by rank.
    pub fn cta_ids(&self, index: u64) -> Vec<[u32; 3]> {
        let id = self.cluster_id(index);
        let cta = |rank| {
            let position = self.position(rank);
            std::array::from_fn(|i| id[i] * self.cluster[i] + position[i])
        };
        (0..volume(self.cluster) as u32).map(cta).collect()
    }

    /// The warps of one CTA, registers poisoned and special registers filled.
    pub fn warps(&self, ids: &[[u32; 3]], rank: u32, index: u64) -> Vec<Warp> {
        let cluster_id = self.cluster_id(index);
        let warp = |w: u32| {
            let lanes = (self.block_threads - w * 32).min(32);
            let live = if lanes == 32 {
                u32::MAX
            } else {
                (1 << lanes) - 1
            };
            let mut registers = vec![[REGISTER_POISON; 32]; self.code.registers];
            for (special, slot) in &self.code.specials {
                let value =
                    |lane| self.special(*special, ids[rank as usize], rank, cluster_id, w, lane);
                registers[*slot as usize] = std::array::from_fn(|lane| value(lane as u32));
            }
            let on = self.checks != Checks::None;
            let count = if on { self.code.registers } else { 0 };
            let filled = self.code.specials.iter().map(|(_, slot)| *slot);
            let defined = Registers::new(count, filled);
            let local_defined = vec![
                false;
                if on {
                    self.local_bytes as usize * 32
                } else {
                    0
                }
            ];
            Warp {
                rank,
                index: w,
                registers,
                defined,
                local_defined,
                carry: 0,
                live,
                fragments: vec![Fragment {
                    pc: 0,
                    mask: live,
                    wait: None,
                    timed_out: false,
                }],
                local: vec![0xAD; self.local_bytes as usize * 32],
                transfers: Vec::new(),
                in_flight: Vec::new(),
                paired: None,
                warpgroup: Default::default(),
                cluster_arrived: 0,
                cluster_generation: 0,
                rotation: 0,
            }
        };
        (0..self.block_threads.div_ceil(32)).map(warp).collect()
    }

    fn special(
        &self,
        special: Special,
        cta: [u32; 3],
        rank: u32,
        cluster_id: [u32; 3],
        warp: u32,
        lane: u32,
    ) -> u64 {
        let thread = warp * 32 + lane;
        let [bx, by, _] = self.block;
        let tid = [thread % bx, thread / bx % by, thread / (bx * by)];
        let linear = cta[0] + self.dims[0] * (cta[1] + self.dims[1] * cta[2]);
        let value = match special {
            Special::Tid(i) => tid[i],
            Special::Ntid(i) => self.block[i],
            Special::Ctaid(i) => cta[i],
            Special::Nctaid(i) => self.dims[i],
            Special::LaneId => lane,
            Special::WarpId => warp,
            Special::NWarpId => self.block_threads.div_ceil(32),
            Special::SmId => linear % self.sm_count,
            Special::NSmId => self.sm_count,
            Special::ClusterId(i) => cluster_id[i],
            Special::NClusterId(i) => self.dims[i] / self.cluster[i],
            Special::ClusterCtaid(i) => self.position(rank)[i],
            Special::ClusterNctaid(i) => self.cluster[i],
            Special::ClusterCtarank => rank,
            Special::ClusterNctarank => volume(self.cluster) as u32,
            Special::IsExplicitCluster => u32::from(self.explicit_cluster),
            Special::LaneMask(LaneMask::Eq) => 1 << lane,
            Special::LaneMask(LaneMask::Lt) => (1 << lane) - 1,
            Special::LaneMask(LaneMask::Le) => u32::MAX >> (31 - lane),
            Special::LaneMask(LaneMask::Gt) => !(u32::MAX >> (31 - lane)),
            Special::LaneMask(LaneMask::Ge) => u32::MAX << lane,
            Special::DynamicSharedSize => self.dynamic_bytes,
            Special::TotalSharedSize => self.shared_bytes,
            Special::StackPointer => self.code.stack_base,
            Special::WarpSize => 32,
            Special::GridId | Special::Zero | Special::Clock => 0,
        };
        value.into()
    }
}
