//! House `assemble`.
