//! House `numerics`.
