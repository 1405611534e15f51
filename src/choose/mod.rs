//! House `choose`.
