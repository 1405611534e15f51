//! The machine: memories, warps, clusters, asynchronous operations, and the schedules that drive them.

mod agent;
mod asynchronous;
mod chain;
mod checked;
mod cluster;
mod device;
mod fault;
mod global;
mod grid;
mod in_flight;
mod launch;
mod mbarrier;
mod misuse;
mod module;
mod schedule;
mod scheduler;
mod step;
mod warp;
mod warpgroup;
mod warpgroup_log;
pub(crate) mod window;

pub(crate) use agent::{AccessKind, Agent};
pub(crate) use asynchronous::{BoxMode, Work, box_copy, targets};
pub use cluster::Counts;
pub(crate) use cluster::Reduction;
pub use device::{Checks, Device, DeviceConfig};
pub use fault::{Fault, FaultKind, Site, Stop, Stopped};
pub(crate) use global::GlobalMemory;
pub use launch::{Launch, Report};
pub(crate) use mbarrier::{SharedAddress, token_pending};
pub use misuse::{Misuse, Rule};
pub use module::{Module, Parameter};
pub use schedule::Schedule;
pub(crate) use step::{Flow, Space, Step};
pub(crate) use warp::Wait;
pub(crate) use warpgroup_log::Together;
