//! Jobs dealt out to CTAs one after the other, the heaviest first. A job is some tiles of one column.

use super::Tile;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Jobs being dealt out.
pub(super) struct Deal {
    ctas: usize,
    /// Up to this load a CTA takes jobs of columns that it has already.
    budget: Option<u64>,
    /// CTAs by load; entries that no longer hold stay behind.
    least: BinaryHeap<Reverse<(u64, usize)>>,
    loads: Vec<u64>,
    /// The CTA that had a column's last job.
    homes: HashMap<usize, usize>,
    /// For each CTA its jobs, those of a column together.
    assigned: Vec<Vec<(usize, Vec<Tile>)>>,
}

impl Deal {
    pub fn new(ctas: usize, budget: Option<u64>) -> Self {
        Deal {
            ctas,
            budget,
            least: BinaryHeap::new(),
            loads: Vec::new(),
            homes: HashMap::new(),
            assigned: Vec::new(),
        }
    }

    /// Every job to the CTA that has least, or within the budget to its column's home. The CTAs with most work come first.
    pub fn all(
        mut self,
        jobs: Vec<(usize, Vec<Tile>)>,
        cost: &dyn Fn(Tile) -> u64,
    ) -> Vec<Vec<Tile>> {
        let ctas = self.ctas.min(jobs.len());
        self.least = (0..ctas).map(|cta| Reverse((0, cta))).collect();
        self.loads = vec![0; ctas];
        self.assigned = vec![Vec::new(); ctas];
        let job_cost = |tiles: &[Tile]| tiles.iter().map(|&t| cost(t)).sum::<u64>();
        let mut jobs: Vec<_> = jobs
            .into_iter()
            .map(|job| (job_cost(&job.1), job))
            .collect();
        jobs.sort_by_key(|(cost, _)| Reverse(*cost));
        for (cost, (column, tiles)) in jobs {
            self.deal(column, tiles, cost);
        }
        let mut order: Vec<usize> = (0..ctas).collect();
        order.sort_by_key(|&cta| Reverse(self.loads[cta]));
        let tiles = |cta: usize| {
            self.assigned[cta]
                .iter()
                .flat_map(|(_, tiles)| tiles)
                .copied()
        };
        order.into_iter().map(|cta| tiles(cta).collect()).collect()
    }

    fn deal(&mut self, column: usize, tiles: Vec<Tile>, cost: u64) {
        let home = self.homes.get(&column).copied();
        let fits = |&cta: &usize| self.budget.is_some_and(|b| self.loads[cta] + cost <= b);
        let cta = match home.filter(fits) {
            Some(cta) => cta,
            None => self.least(),
        };
        self.loads[cta] += cost;
        self.least.push(Reverse((self.loads[cta], cta)));
        self.homes.insert(column, cta);
        let jobs = &mut self.assigned[cta];
        match jobs.iter_mut().find(|(of, _)| *of == column) {
            Some((_, with)) => with.extend(tiles),
            None => jobs.push((column, tiles)),
        }
    }

    fn least(&mut self) -> usize {
        loop {
            match self.least.pop() {
                Some(Reverse((load, cta))) if load == self.loads[cta] => return cta,
                Some(_) => {}
                None => unreachable!("every CTA has an entry with its load"),
            }
        }
    }
}
