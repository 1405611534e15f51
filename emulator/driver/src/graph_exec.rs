//! Executable graphs: a graph's nodes in a fixed order, whose parameters can still be changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::driver::{driver, lock};
use crate::error::{Error, Outcome};
use crate::graph::{Graph, Vertex, node_type};
use crate::object::object;
use crate::stream::{self, Stream};
use crate::work::Work;

/// An executable graph.
pub(crate) struct GraphExec {
    pub flags: u64,
    /// Nothing to do when kernels are not executed.
    only_kernels: bool,
    state: Mutex<State>,
}

object!(GraphExec, GraphExecs, INVALID_VALUE);

struct State {
    /// Handles of the original nodes.
    order: Vec<usize>,
    nodes: BTreeMap<usize, Step>,
    /// What a launch enqueues; remade after a change.
    plan: Option<Arc<[Work]>>,
}

struct Step {
    work: Work,
    dependencies: Vec<usize>,
    enabled: bool,
}

/// `CUgraphExecUpdateResult` of a failed update, and the node at fault.
pub(crate) struct Misfit {
    pub result: u32,
    pub node: usize,
}

impl GraphExec {
    /// From a graph whose edges form no circle.
    pub(crate) fn new(graph: &Graph, flags: u64) -> Result<Self, Error> {
        let order = graph.order().ok_or(Error::INVALID_VALUE)?;
        let step = |vertex: Vertex| Step {
            work: vertex.work,
            dependencies: vertex.dependencies,
            enabled: true,
        };
        let nodes: BTreeMap<_, _> = graph
            .nodes()
            .into_iter()
            .map(|(node, v)| (node, step(v)))
            .collect();
        let only_kernels = nodes
            .values()
            .all(|step| matches!(step.work, Work::Kernel(_) | Work::Empty));
        let state = Mutex::new(State {
            order,
            nodes,
            plan: None,
        });
        Ok(GraphExec {
            flags,
            only_kernels,
            state,
        })
    }

    /// Enqueues all nodes.
    pub(crate) fn launch(&self, stream: &Arc<Stream>) -> Outcome {
        if self.only_kernels && driver()?.config.null && !stream.is_capturing() {
            return Ok(());
        }
        stream::submit(stream, Work::Graph(self.plan()))
    }

    fn plan(&self) -> Arc<[Work]> {
        let mut state = lock(&self.state);
        let State { order, nodes, plan } = &mut *state;
        let enabled = |node: &usize| {
            nodes
                .get(node)
                .filter(|step| step.enabled)
                .map(|step| step.work.clone())
        };
        plan.get_or_insert_with(|| order.iter().filter_map(enabled).collect())
            .clone()
    }

    /// As a node of another graph.
    pub(crate) fn as_work(&self) -> Work {
        Work::Graph(self.plan())
    }

    /// Changes a node; its kind stays.
    pub(crate) fn set_work(&self, node: usize, work: Work) -> Outcome {
        self.change(node, |step| {
            if node_type(&step.work) != node_type(&work) {
                return Err(Error::INVALID_VALUE);
            }
            step.work = work;
            Ok(())
        })
    }

    pub(crate) fn work(&self, node: usize) -> Result<Work, Error> {
        let state = lock(&self.state);
        let step = state.nodes.get(&node).ok_or(Error::INVALID_VALUE)?;
        Ok(step.work.clone())
    }

    pub(crate) fn set_enabled(&self, node: usize, enabled: bool) -> Outcome {
        self.change(node, |step| {
            step.enabled = enabled;
            Ok(())
        })
    }

    pub(crate) fn is_enabled(&self, node: usize) -> Result<bool, Error> {
        let state = lock(&self.state);
        state
            .nodes
            .get(&node)
            .map(|step| step.enabled)
            .ok_or(Error::INVALID_VALUE)
    }

    fn change(&self, node: usize, f: impl FnOnce(&mut Step) -> Outcome) -> Outcome {
        let mut state = lock(&self.state);
        f(state.nodes.get_mut(&node).ok_or(Error::INVALID_VALUE)?)?;
        state.plan = None;
        Ok(())
    }

    /// Takes over the parameters of a graph of the same shape.
    pub(crate) fn update(&self, graph: &Graph) -> Result<(), Misfit> {
        const TOPOLOGY: u32 = 2;
        const TYPE: u32 = 3;
        let new = graph.nodes();
        let mut state = lock(&self.state);
        let mut old_nodes: Vec<_> = state.nodes.keys().copied().collect();
        old_nodes.sort_unstable();
        let names: BTreeMap<usize, usize> =
            new.keys().copied().zip(old_nodes.iter().copied()).collect();
        if new.len() != old_nodes.len() {
            return Err(Misfit {
                result: TOPOLOGY,
                node: 0,
            });
        }
        for (node, vertex) in &new {
            let step = &state.nodes[&names[node]];
            let same: Vec<_> = vertex
                .dependencies
                .iter()
                .filter_map(|d| names.get(d).copied())
                .collect();
            if same != step.dependencies {
                return Err(Misfit {
                    result: TOPOLOGY,
                    node: *node,
                });
            }
            if node_type(&vertex.work) != node_type(&step.work) {
                return Err(Misfit {
                    result: TYPE,
                    node: *node,
                });
            }
        }
        for (node, vertex) in new {
            if let Some(step) = state.nodes.get_mut(&names[&node]) {
                step.work = vertex.work;
            }
        }
        state.plan = None;
        Ok(())
    }
}
