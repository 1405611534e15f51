//! House `problem`.
