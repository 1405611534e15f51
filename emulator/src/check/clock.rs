//! Vector clocks over the lanes of warps and over streams of asynchronous operations.
//!
//! A component for every thread of a cluster would make clocks large, so the lanes of a warp share one number as long as
//! they are known equally well, which they are whenever the warp has met at `bar.warp.sync` or a wider barrier.

use std::rc::Rc;

/// Index of a stream of asynchronous operations.
pub(crate) type Stream = u32;

/// The stream whose first element is the completion of the launch before this one.
pub(crate) const PREREQUISITES: Stream = 0;

/// Up to which time each lane of each warp, and each stream, is known to have happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clock {
    /// What is known of all lanes of a warp.
    warps: Vec<u32>,
    /// Warps some of whose lanes are known better, sorted.
    split: Vec<(u32, [u32; 32])>,
    streams: Vec<u32>,
}

fn lanes(mask: u32) -> impl Iterator<Item = usize> {
    (0..32).filter(move |lane| mask >> lane & 1 != 0)
}

/// Raises the elements of `to` to those of `from`.
fn raise_all(to: &mut Vec<u32>, from: &[u32]) {
    if to.len() < from.len() {
        to.resize(from.len(), 0);
    }
    to.iter_mut().zip(from).for_each(|(t, f)| *t = (*t).max(*f));
}

impl Clock {
    fn base(&self, warp: u32) -> u32 {
        self.warps.get(warp as usize).copied().unwrap_or(0)
    }

    fn find_split(&self, warp: u32) -> Result<usize, usize> {
        self.split.binary_search_by_key(&warp, |(w, _)| *w)
    }

    /// True if what these lanes did at `time` has happened.
    pub fn covers(&self, warp: u32, mask: u32, time: u32) -> bool {
        if mask == 0 || self.base(warp) >= time {
            return true;
        }
        match self.find_split(warp) {
            Ok(i) => lanes(mask).all(|lane| self.split[i].1[lane] >= time),
            Err(_) => false,
        }
    }

    /// True if anything is known of a warp.
    pub fn has_any(&self, warp: u32) -> bool {
        self.base(warp) > 0 || self.find_split(warp).is_ok()
    }

    /// Up to where a stream has happened.
    pub fn stream(&self, stream: Stream) -> u32 {
        self.streams.get(stream as usize).copied().unwrap_or(0)
    }

    /// What has been issued, by stream of completions: the components behind those.
    pub fn issues(&self) -> impl Iterator<Item = (Stream, u32)> + '_ {
        let odd = self
            .streams
            .iter()
            .enumerate()
            .filter(|(i, n)| i % 2 == 1 && **n > 0);
        odd.map(|(i, n)| (i as Stream - 1, *n))
    }

    pub fn raise_stream(&mut self, stream: Stream, time: u32) {
        let index = stream as usize;
        if self.streams.len() <= index {
            self.streams.resize(index + 1, 0);
        }
        self.streams[index] = self.streams[index].max(time);
    }

    pub fn raise_lanes(&mut self, warp: u32, mask: u32, time: u32) {
        if self.warps.len() <= warp as usize {
            self.warps.resize(warp as usize + 1, 0);
        }
        let base = self.warps[warp as usize];
        if mask == u32::MAX {
            self.warps[warp as usize] = base.max(time);
            return self.settle(warp);
        }
        let index = self.find_split(warp).unwrap_or_else(|at| {
            self.split.insert(at, (warp, [base; 32]));
            at
        });
        lanes(mask).for_each(|lane| {
            let known = &mut self.split[index].1[lane];
            *known = (*known).max(time);
        });
        self.settle(warp);
    }

    /// Gives up the lanes of a warp where they have become equal, and lifts them to the base.
    fn settle(&mut self, warp: u32) {
        let Ok(index) = self.find_split(warp) else {
            return;
        };
        let base = self.warps[warp as usize];
        let times = &mut self.split[index].1;
        times.iter_mut().for_each(|t| *t = (*t).max(base));
        let least = times.iter().copied().min().unwrap_or(base);
        self.warps[warp as usize] = least;
        if times.iter().all(|t| *t == least) {
            self.split.remove(index);
        }
    }

    pub fn join(&mut self, other: &Clock) {
        raise_all(&mut self.warps, &other.warps);
        raise_all(&mut self.streams, &other.streams);
        for (warp, times) in &other.split {
            match self.find_split(*warp) {
                Ok(i) => self.split[i]
                    .1
                    .iter_mut()
                    .zip(times)
                    .for_each(|(t, o)| *t = (*t).max(*o)),
                Err(at) => self.split.insert(at, (*warp, *times)),
            }
        }
        for index in (0..self.split.len()).rev() {
            self.settle(self.split[index].0);
        }
    }

    /// True if everything known here is known there.
    fn is_within(&self, other: &Clock) -> bool {
        let below = |a: &[u32], b: &[u32]| {
            a.iter()
                .enumerate()
                .all(|(i, t)| *t <= b.get(i).copied().unwrap_or(0))
        };
        below(&self.warps, &other.warps)
            && below(&self.streams, &other.streams)
            && self.split.iter().all(|(warp, times)| {
                let floor = other.base(*warp);
                let there = other.find_split(*warp).ok().map(|i| &other.split[i].1);
                (0..32).all(|l| times[l] <= there.map_or(floor, |t| t[l].max(floor)))
            })
    }
}

/// Joins shared clocks without copying where one of them says it all.
pub(crate) fn join(to: &mut Rc<Clock>, from: &Rc<Clock>) {
    if Rc::ptr_eq(to, from) || from.is_within(to) {
        return;
    }
    if to.is_within(from) {
        *to = from.clone();
    } else {
        Rc::make_mut(to).join(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_told_apart_until_they_meet() {
        let mut clock = Clock::default();
        clock.raise_lanes(2, 1, 5);
        assert!(clock.covers(2, 1, 5) && !clock.covers(2, 3, 5) && clock.covers(2, u32::MAX, 0));
        clock.raise_lanes(2, !1, 5);
        assert!(clock.covers(2, u32::MAX, 5) && clock.split.is_empty());
    }

    #[test]
    fn a_join_knows_what_either_knew() {
        let (mut a, mut b) = (Clock::default(), Clock::default());
        a.raise_lanes(0, 0xF, 7);
        a.raise_stream(3, 2);
        b.raise_lanes(0, u32::MAX, 4);
        b.raise_lanes(1, u32::MAX, 9);
        let (mut a, b) = (Rc::new(a), Rc::new(b));
        assert!(!a.is_within(&b) && !b.is_within(&a));
        join(&mut a, &b);
        assert!(a.covers(0, 0xF, 7) && a.covers(0, u32::MAX, 4) && !a.covers(0, 0x10, 5));
        assert!(a.covers(1, 1, 9) && a.stream(3) == 2 && b.is_within(&a));
    }
}
