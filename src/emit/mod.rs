//! Plan to text. Every number is a field of the plan; templates hold structure, this house formats.

mod ring;
mod sm_100a;
mod sm_90a;
mod table;

use crate::artifact::{Kernel, KernelEntry, ScheduleFacts, Sizes};
use crate::plan::{Plan, TargetPlan};
use std::fmt;

/// A template failed to render.
#[derive(Debug)]
pub struct EmitError {
    key: String,
    source: askama::Error,
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: the kernel template failed: {}",
            self.key, self.source
        )
    }
}

impl std::error::Error for EmitError {}

/// Renders the kernel of a plan and describes it for the manifest.
pub fn kernel(plan: &Plan) -> Result<Kernel, EmitError> {
    let key = plan.set.key();
    let rendered = match &plan.kernel {
        TargetPlan::Sm100a(kernel) => sm_100a::render(plan, kernel),
        TargetPlan::Sm90a(kernel) => sm_90a::render(plan, kernel),
    };
    let ptx = rendered.map_err(|source| EmitError {
        key: key.clone(),
        source,
    })?;
    Ok(Kernel::new(entry(plan, key), ptx))
}

/// The name of the kernel's `.entry`: profilers show it, so it is the key, as far as PTX identifiers go.
pub fn function_name(key: &str) -> String {
    let identifier: String = key
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    format!("nvfp4_{identifier}")
}

fn entry(plan: &Plan, key: String) -> KernelEntry {
    let (stages, tensor_memory_columns) = match &plan.kernel {
        TargetPlan::Sm100a(kernel) => (kernel.shared.stages, kernel.tensor.columns),
        TargetPlan::Sm90a(kernel) => (kernel.shared.stages, 0),
    };
    let sizes =
        |size: fn(&crate::problem::Group) -> u32| plan.set.groups.iter().map(size).collect();
    KernelEntry {
        name: plan.set.name.clone(),
        file: format!("{key}.ptx"),
        sha256: String::new(),
        function: function_name(&key),
        key,
        ptx_version: plan.target.ptx_version.to_owned(),
        tiles: plan.schedule.tiles.len() as u32,
        stages,
        split_k: plan.schedule.most_parts(),
        tensor_memory_columns,
        sizes: Sizes {
            m: sizes(|g| g.m),
            n: sizes(|g| g.n),
            k: sizes(|g| g.k),
            output: plan.set.output.to_string(),
            weights: plan.set.weights.to_string(),
        },
        launch: plan.launch.clone(),
        schedule: ScheduleFacts {
            tuned_sms: plan.target.sms,
            co_resident: false,
        },
        parameters: plan.parameters.clone(),
    }
}
