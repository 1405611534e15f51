//! House `emit`.
