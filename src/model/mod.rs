//! The price of a plan in microseconds, and why.

pub mod machine;
mod memory;
pub mod mma;
mod of_plan;
pub mod outline;
pub mod price;
pub mod published;
pub mod sensitivity;
pub mod simulate;
pub mod speed_of_light;
pub mod timeline;
mod track;
pub mod workload;

pub use machine::{B200, H200, Machine};
pub use price::{Parts, Price};
pub use simulate::price;
pub use workload::Workload;
