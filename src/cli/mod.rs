//! House `cli`.
