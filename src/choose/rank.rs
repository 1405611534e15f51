//! Pricing the candidates, and the order among them.

use super::candidates::{neighbours, prefetching, shapes};
use super::{Choice, Choices, EVENTS, Measured, NoPlan, RUNNERS_UP, Refused, RunnerUp, machine};
use crate::model::{Machine, Price, Workload, price};
use crate::plan::{Plan, Target};
use crate::problem::Set;
use rayon::prelude::*;

/// Shapes whose neighbours are tried.
const REFINED: usize = 8;
/// Of the K blocks that may be simulated, those kept for the neighbours.
const KEPT: u64 = EVENTS / 4;
/// Candidates for which overlapping launches are simulated.
const FINALISTS: usize = 60;

/// What prefetches must gain to be taken: less the model cannot tell apart.
const PREFETCHES_EARN_US: f64 = 0.05;

/// A legal candidate.
struct Candidate {
    plan: Plan,
    workload: Workload,
    /// No price can be below it.
    bound_us: f64,
    /// K blocks of all tiles.
    events: u64,
    price: Option<Price>,
}

/// The candidates of a set, and what happened to them.
struct Search<'a> {
    set: &'a Set,
    target: Target,
    machine: Machine,
    candidates: Vec<Candidate>,
    refused: Vec<Refused>,
    /// K blocks that may still be simulated.
    events: u64,
}

/// Enumerates, prices, and picks.
pub(super) fn search(set: &Set, target: Target) -> Result<Choice, NoPlan> {
    Search::finished(set, target, 1).choice()
}

/// The cheapest plans, cheapest first, those that cost the same included.
pub(super) fn cheapest(
    set: &Set,
    target: Target,
    count: usize,
) -> Result<Vec<(Plan, Price)>, NoPlan> {
    let search = Search::finished(set, target, count);
    let order = search.ranked();
    if order.is_empty() {
        return search.choice().map(|_| Vec::new());
    }
    let of = |index: usize| {
        let candidate = &search.candidates[index];
        let price = candidate.price.clone()?;
        Some((candidate.plan.clone(), price))
    };
    Ok(order.into_iter().take(count).filter_map(of).collect())
}

/// A pinned plan among what the search finds.
pub(super) fn around(plan: Plan, measured: Measured) -> Result<Choice, NoPlan> {
    let machine = machine(&plan.target);
    let pinned = price(&Workload::from(&plan), &machine);
    let found = search(&plan.set, plan.target)?;
    let chosen = Choices::of(&plan);
    let first = RunnerUp::of(Choices::of(&found.plan), &found.price, &chosen);
    let others = found.runners_up.into_iter().map(|r| RunnerUp {
        differences: chosen.differences(&r.choices),
        ..r
    });
    let others = std::iter::once(first).chain(others);
    Ok(Choice {
        runners_up: others
            .filter(|r| r.choices != chosen)
            .take(RUNNERS_UP)
            .collect(),
        plan,
        price: pinned,
        pinned: Some(measured),
        ..found
    })
}

impl Search<'_> {
    /// The whole search, with the prices of at least so many finalists.
    fn finished(set: &Set, target: Target, at_least: usize) -> Search<'_> {
        let mut search = Search::new(set, target);
        search.add(shapes(set, &target));
        search.price_apart(KEPT);
        let best = search.worth_refining();
        search.add(best.iter().flat_map(neighbours).collect());
        search.price_apart(0);
        let most = FINALISTS.min(search.events_left_for_finalists());
        search.price_finalists(most.max(at_least));
        search.price_prefetches();
        search
    }

    fn new(set: &Set, target: Target) -> Search<'_> {
        Search {
            set,
            target,
            machine: machine(&target),
            candidates: Vec::new(),
            refused: Vec::new(),
            events: EVENTS,
        }
    }

    /// Plans what is new among these.
    fn add(&mut self, choices: Vec<Choices>) {
        let (set, target, machine) = (self.set, self.target, &self.machine);
        let planned = choices.into_par_iter().map(|choices| {
            let planned = choices.plan(set, target);
            planned
                .map(|plan| Candidate::new(plan, machine))
                .map_err(|illegal| Refused { choices, illegal })
        });
        for planned in planned.collect::<Vec<_>>() {
            match planned {
                Err(refused) => self.refused.push(refused),
                Ok(new) => {
                    let is_known = |old: &Candidate| old.plan.kernel == new.plan.kernel;
                    if !self.candidates.iter().any(is_known) {
                        self.candidates.push(new);
                    }
                }
            }
        }
    }

    /// Prices as launches apart whatever has no price yet, the lowest bounds first, until no more events are left than
    /// are to be kept. One candidate is always priced.
    fn price_apart(&mut self, kept: u64) {
        let mut order: Vec<usize> = (0..self.candidates.len()).collect();
        order.retain(|&index| self.candidates[index].price.is_none());
        order.sort_by(|&a, &b| {
            self.candidates[a]
                .bound_us
                .total_cmp(&self.candidates[b].bound_us)
        });
        let none = self.candidates.iter().all(|c| c.price.is_none());
        let mut taken = Vec::new();
        for index in order {
            let events = self.candidates[index].events;
            if events + kept <= self.events || (none && taken.is_empty()) {
                self.events = self.events.saturating_sub(events);
                taken.push(index);
            }
        }
        let (machine, candidates) = (&self.machine, &self.candidates);
        let priced: Vec<_> = taken
            .into_par_iter()
            .map(|index| (index, candidates[index].apart(machine)))
            .collect();
        for (index, price) in priced {
            self.candidates[index].price = Some(price);
        }
    }

    /// Prices the best as they are launched.
    fn price_finalists(&mut self, most: usize) {
        let finalists = self.finalists(most);
        let (machine, candidates) = (&self.machine, &self.candidates);
        let priced: Vec<_> = finalists
            .into_par_iter()
            .map(|index| (index, price(&candidates[index].workload, machine)))
            .collect();
        for candidate in &mut self.candidates {
            candidate.price = None;
        }
        for (index, price) in priced {
            self.candidates[index].price = Some(price);
        }
    }

    /// Adds the best plan with prefetches, and prices those as they are launched: what they are good for is the time in
    /// which the launch before still runs.
    fn price_prefetches(&mut self) {
        let Some(&best) = self.ranked().first() else {
            return;
        };
        let without = self.candidates[best].price.as_ref();
        let most = without.map_or(0.0, |p| p.total_us - PREFETCHES_EARN_US);
        let known = self.candidates.len();
        self.add(prefetching(&Choices::of(&self.candidates[best].plan)));
        let machine = &self.machine;
        self.candidates[known..].par_iter_mut().for_each(|new| {
            let with = price(&new.workload, machine);
            new.price = (with.total_us <= most).then_some(with);
        });
    }

    /// The best so far. Launches behind an upload cannot gain from overlap, which is not priced yet: if there are such
    /// ones, as many others compete with them.
    fn finalists(&self, most: usize) -> Vec<usize> {
        let order = self.ranked();
        let uploads = |&index: &usize| self.candidates[index].workload.kernel.uploads;
        let (tables, others): (Vec<usize>, Vec<usize>) = order.iter().copied().partition(uploads);
        if !order.iter().take(most).any(uploads) {
            return order.into_iter().take(most).collect();
        }
        let half = most.div_ceil(2);
        tables
            .into_iter()
            .take(half)
            .chain(others.into_iter().take(half))
            .collect()
    }

    /// Large sets have few finalists: each takes as long as several candidates.
    fn events_left_for_finalists(&self) -> usize {
        const LAUNCHES: u64 = 6;
        let most = self.candidates.iter().map(|c| c.events).max().unwrap_or(1);
        (EVENTS / (LAUNCHES * most.max(1))).max(1) as usize
    }

    /// The priced candidates by index, best first.
    fn ranked(&self) -> Vec<usize> {
        let rank = |&index: &usize| self.candidates[index].rank();
        let mut order: Vec<usize> = (0..self.candidates.len()).collect();
        order.retain(|&index| self.candidates[index].price.is_some());
        // Stable: of equals, the first enumerated comes first.
        order.sort_by_key(rank);
        order
    }

    /// The best shapes. If they need a table in device memory, the best that does not as well: its neighbours may make up
    /// for what separates them.
    fn worth_refining(&self) -> Vec<Choices> {
        let order = self.ranked();
        let mut best: Vec<usize> = order.iter().copied().take(REFINED).collect();
        let fits = |&index: &usize| !self.candidates[index].workload.kernel.uploads;
        if !best.iter().any(fits) {
            best.extend(order.into_iter().find(fits));
        }
        let choices = |index: usize| Choices::of(&self.candidates[index].plan);
        best.into_iter().map(choices).collect()
    }

    fn choice(mut self) -> Result<Choice, NoPlan> {
        let order = self.ranked();
        let Some(&first) = order.first() else {
            let refused = self.refused.pop();
            return Err(NoPlan::Illegal(
                refused
                    .map(|r| r.illegal)
                    .expect("every candidate is legal or refused"),
            ));
        };
        let chosen = Choices::of(&self.candidates[first].plan);
        let mut runners_up: Vec<RunnerUp> = Vec::new();
        let mut last = self.candidates[first].rank().0;
        for &index in &order[1..] {
            let candidate = &self.candidates[index];
            let Some(price) = &candidate.price else {
                continue;
            };
            if candidate.rank().0 != last && runners_up.len() < RUNNERS_UP {
                runners_up.push(RunnerUp::of(Choices::of(&candidate.plan), price, &chosen));
                last = candidate.rank().0;
            }
        }
        let all = self.candidates.len();
        let best = self.candidates.swap_remove(first);
        Ok(Choice {
            plan: best.plan,
            price: best.price.expect("it was ranked"),
            runners_up,
            refused: self.refused,
            priced: order.len(),
            skipped: all - order.len(),
            pinned: None,
        })
    }
}

impl Candidate {
    fn new(plan: Plan, machine: &Machine) -> Self {
        let workload = Workload::from(&plan);
        Candidate {
            bound_us: workload.bound_us(machine),
            events: workload.events(),
            plan,
            workload,
            price: None,
        }
    }

    fn apart(&self, machine: &Machine) -> Price {
        let mut apart = self.workload.clone();
        apart.kernel.programmatic = None;
        price(&apart, machine)
    }

    /// Nanoseconds, requested bytes, CTAs.
    fn rank(&self) -> (u64, u64, u32) {
        let price = self.price.as_ref();
        let ns = price.map_or(u64::MAX, |p| (p.total_us * 1e3).round() as u64);
        let bytes = price.map_or(0, |p| p.requested_bytes);
        (ns, bytes, self.plan.launch.grid[0])
    }
}

impl RunnerUp {
    fn of(choices: Choices, price: &Price, chosen: &Choices) -> Self {
        RunnerUp {
            total_us: price.total_us,
            parts: price.parts,
            differences: chosen.differences(&choices),
            choices,
        }
    }
}
