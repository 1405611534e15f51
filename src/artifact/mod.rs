//! House `artifact`.
