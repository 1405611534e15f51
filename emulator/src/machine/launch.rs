//! Launches: what they ask for, and whether an entry can be launched so.

use super::cluster::Counts;
use super::module::Entry;

/// A request to run an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Name of the entry.
    pub entry: String,
    /// CTAs of the grid.
    pub grid: [u32; 3],
    /// Threads of a CTA.
    pub block: [u32; 3],
    /// CTAs of a cluster. `[1, 1, 1]` takes what the entry itself asks for.
    pub cluster: [u32; 3],
    /// Bytes of dynamic shared memory per CTA.
    pub dynamic_shared: u32,
    /// The parameter block, laid out as the entry declares it.
    pub params: Vec<u8>,
    /// Programmatic dependent launch: it may start before the launch in front of it in a sequence has completed
    /// ([`Device::launch_sequence`](super::Device::launch_sequence)).
    pub programmatic: bool,
}

/// What a completed launch did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Sums over all CTAs.
    pub counts: Counts,
    /// CTAs executed.
    pub ctas: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: Counts) {
        self.instructions += other.instructions;
        self.mmas += other.mmas;
        self.bytes_loaded += other.bytes_loaded;
        self.bytes_stored += other.bytes_stored;
    }
}

const MAX_CLUSTER: u32 = 16;

pub(super) fn volume(dims: [u32; 3]) -> u64 {
    dims.iter().map(|d| u64::from(*d)).product()
}

pub(super) fn cluster_of(entry: &Entry, launch: &Launch) -> Result<[u32; 3], String> {
    let cluster = match entry.cluster {
        Some(required) if launch.cluster != [1, 1, 1] && launch.cluster != required => {
            return Err(format!(
                "the entry requires clusters of {required:?}, the launch says {:?}",
                launch.cluster
            ));
        }
        Some(required) => required,
        None => launch.cluster,
    };
    if volume(cluster) == 0 || volume(cluster) > MAX_CLUSTER.into() {
        return Err(format!(
            "a cluster of {cluster:?} CTAs, 1 to {MAX_CLUSTER} are possible"
        ));
    }
    if volume(launch.grid) == 0 || (0..3).any(|i| !launch.grid[i].is_multiple_of(cluster[i])) {
        return Err(format!(
            "a grid of {:?} CTAs is no multiple of clusters of {cluster:?}",
            launch.grid
        ));
    }
    Ok(cluster)
}

pub(super) fn check_block(entry: &Entry, launch: &Launch) -> Result<(), String> {
    let threads = volume(launch.block);
    if threads == 0 || threads > 1024 {
        return Err(format!(
            "a block of {:?} threads, 1 to 1024 are possible",
            launch.block
        ));
    }
    if let Some(required) = entry.required_block
        && required != launch.block
    {
        return Err(format!(
            "the entry requires blocks of {required:?}, the launch says {:?}",
            launch.block
        ));
    }
    if let Some(most) = entry.max_threads
        && threads > most
    {
        return Err(format!(
            "the entry allows {most} threads, the launch says {threads}"
        ));
    }
    Ok(())
}
