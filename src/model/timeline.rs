//! What each worker does when, for drawing.

/// What a worker's resource is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Set-up, before the first load.
    Prologue,
    /// Loads are in flight.
    Load,
    /// The tensor core multiplies.
    Mma,
    /// The epilogue reads an accumulator and stores it.
    Epilogue,
}

/// One stretch of time, in microseconds from the end of the previous launch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// What is done.
    pub activity: Activity,
    /// From.
    pub start: f64,
    /// To.
    pub end: f64,
}

/// One worker's part of a launch. What no interval of `Mma` or `Epilogue` covers, the worker idles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lane {
    /// First SM of the worker.
    pub sm: u32,
    /// Intervals; those of one activity are in order and do not overlap.
    pub intervals: Vec<Interval>,
    /// When the worker starts and when it has stored everything.
    pub span: (f64, f64),
}

impl Lane {
    /// Adds a stretch, or lengthens the last one of the same activity if they touch.
    pub(super) fn add(&mut self, activity: Activity, start: f64, end: f64) {
        const TOUCH: f64 = 1e-3;
        let last = self
            .intervals
            .iter_mut()
            .rev()
            .find(|i| i.activity == activity);
        match last {
            Some(last) if start <= last.end + TOUCH => last.end = last.end.max(end),
            _ => self.intervals.push(Interval {
                activity,
                start,
                end,
            }),
        }
    }

    /// The lane with times counted from `zero`.
    pub(super) fn since(mut self, zero: f64) -> Self {
        for interval in &mut self.intervals {
            interval.start -= zero;
            interval.end -= zero;
        }
        self.span = (self.span.0 - zero, self.span.1 - zero);
        self
    }

    /// Microseconds of one activity.
    pub fn busy(&self, activity: Activity) -> f64 {
        self.intervals
            .iter()
            .filter(|i| i.activity == activity)
            .map(|i| i.end - i.start)
            .sum()
    }
}
