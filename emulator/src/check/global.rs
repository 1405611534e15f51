//! What the clusters that run together share: streams, and the shadow of global memory.

use std::collections::HashMap;

use super::clock::Stream;
use super::shadow::Entry;
use super::stream::Key;
use crate::machine::Site;

/// Shared by the checkers of clusters that run on one thread.
#[derive(Default)]
pub(crate) struct Gang {
    streams: HashMap<(u32, Key), Stream>,
    /// %ctaid of the CTAs of each cluster that has joined.
    ctas: Vec<Vec<[u32; 3]>>,
    /// Operations issued so far, by stream.
    issued: Vec<u32>,
}

impl Gang {
    /// A cluster joins; it gets its number among those who did.
    pub fn introduce(&mut self, ids: &[[u32; 3]]) -> u32 {
        self.ctas.push(ids.to_vec());
        self.ctas.len() as u32 - 1
    }

    /// The stream of completions; the one behind it counts what was issued.
    pub fn stream(&mut self, cluster: u32, key: Key) -> Stream {
        let next = self.streams.len() as Stream * 2;
        *self.streams.entry((cluster, key)).or_insert(next)
    }

    /// The number of the next operation of a stream, from 1 on.
    pub fn next(&mut self, stream: Stream) -> u32 {
        let index = stream as usize;
        if self.issued.len() <= index {
            self.issued.resize(index + 1, 0);
        }
        self.issued[index] += 1;
        self.issued[index]
    }

    /// The number of the latest operation of a stream.
    pub fn last(&self, stream: Stream) -> u32 {
        self.issued.get(stream as usize).copied().unwrap_or(0)
    }

    /// Where an access was issued.
    pub fn site(&self, entry: &Entry, warps_per_cta: u32) -> Site {
        let ctas = self.ctas.first().map_or(1, Vec::len);
        let (cta, warp) = ((entry.warp / warps_per_cta) as usize, entry.warp % warps_per_cta);
        let id = self.ctas.get(cta / ctas).and_then(|ids| ids.get(cta % ctas));
        Site { line: entry.line, cta: id.copied().unwrap_or_default(), warp, lane: Some(entry.lane) }
    }
}
