//! Progress on stderr: a bar on a terminal, a line per finished set elsewhere.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

/// The progress of a known number of steps, which may finish in any order and on any thread.
pub struct Progress {
    bar: Option<ProgressBar>,
    verb: &'static str,
    total: usize,
    done: AtomicUsize,
}

impl Progress {
    /// Nothing done yet of `total` steps. `verb` says what is done with each: `build`, `verify`.
    pub fn new(verb: &'static str, total: usize) -> Self {
        let bar = stderr().is_terminal().then(|| bar(total));
        Progress {
            bar,
            verb,
            total,
            done: AtomicUsize::new(0),
        }
    }

    /// Runs one step and shows that it is done.
    pub fn step<T>(&self, name: &str, work: impl FnOnce() -> T) -> T {
        if let Some(bar) = &self.bar {
            bar.set_message(name.to_owned());
        }
        let start = Instant::now();
        let result = work();
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        match &self.bar {
            Some(bar) => bar.inc(1),
            None => eprintln!(
                "[{done}/{}] {} {name}: {:.2} s",
                self.total,
                self.verb,
                start.elapsed().as_secs_f64()
            ),
        }
        result
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(total: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {elapsed} {msg}");
    let bar = ProgressBar::new(total as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    bar
}
