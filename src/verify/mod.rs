//! House `verify`.
