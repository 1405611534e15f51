//! House `device`.
