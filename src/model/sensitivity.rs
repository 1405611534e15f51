//! Which constant moves the result, and which moves the choice.

use super::machine::Machine;
use super::simulate::price;
use super::workload::Workload;

/// What one constant does to the geometric mean of some prices when it goes to the ends of its range.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    /// The constant.
    pub constant: &'static str,
    /// Its range.
    pub range: (f64, f64),
    /// Geometric mean at the low and at the high end, relative to the value in use: 0.01 is one per cent slower.
    pub moved: (f64, f64),
}

impl Sensitivity {
    /// The larger of both moves.
    pub fn most(&self) -> f64 {
        self.moved.0.abs().max(self.moved.1.abs())
    }
}

/// Geometric mean of the workloads' prices in microseconds.
pub fn geomean(workloads: &[Workload], machine: &Machine) -> f64 {
    let logs = workloads.iter().map(|w| price(w, machine).total_us.ln());
    (logs.sum::<f64>() / workloads.len().max(1) as f64).exp()
}

/// All constants that have a range, those that move most first.
pub fn sensitivities(workloads: &[Workload], machine: &Machine) -> Vec<Sensitivity> {
    let now = geomean(workloads, machine);
    let moved = |name: &str, value: f64| {
        machine
            .with(name, value)
            .map_or(0.0, |changed| geomean(workloads, &changed) / now - 1.0)
    };
    let mut all: Vec<_> = machine
        .constants()
        .into_iter()
        .filter(|(_, c)| c.low < c.high)
        .map(|(constant, c)| Sensitivity {
            constant,
            range: (c.low, c.high),
            moved: (moved(constant, c.low), moved(constant, c.high)),
        })
        .collect();
    all.sort_by(|a, b| b.most().total_cmp(&a.most()));
    all
}
