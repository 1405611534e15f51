//! House `plan`.
