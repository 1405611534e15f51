//! Graphs: nodes of work and the edges between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use crate::driver::lock;
use crate::error::{Error, Outcome};
use crate::object::{self, object};
use crate::pointer::Handle;
use crate::work::Work;

/// A graph.
#[derive(Default)]
pub(crate) struct Graph {
    /// By the node's handle, so in the order of creation.
    nodes: Mutex<BTreeMap<usize, Vertex>>,
}

object!(Graph, Graphs, INVALID_VALUE);

/// What a node's handle leads to.
pub(crate) struct Node {
    pub graph: Handle<Graph>,
}

object!(Node, GraphNodes, INVALID_VALUE);

/// A node in its graph.
#[derive(Clone)]
pub(crate) struct Vertex {
    pub work: Work,
    pub dependencies: Vec<usize>,
    /// The node of the cloned graph that it is a copy of.
    pub original: Option<usize>,
}

/// `CUgraphNodeType`.
pub(crate) fn node_type(work: &Work) -> u32 {
    match work {
        Work::Kernel(_) | Work::Overlapping(_) => 0,
        Work::Copy(_) => 1,
        Work::Fill(_) => 2,
        Work::Host(_) => 3,
        Work::Graph(_) => 4,
        Work::Empty | Work::Free(_) => 5,
        Work::Wait(..) => 6,
        Work::Record(..) => 7,
    }
}

/// Adds a node behind others of the same graph.
pub(crate) fn add(
    graph: Handle<Graph>,
    dependencies: Vec<usize>,
    work: Work,
) -> Result<Handle<Node>, Error> {
    let object = graph.get()?;
    let mut nodes = lock(&object.nodes);
    let mut distinct = BTreeSet::new();
    let valid = |node: &usize| nodes.contains_key(node) && distinct.insert(*node);
    if !dependencies.iter().all(valid) {
        return Err(Error::INVALID_VALUE);
    }
    let handle = object::add(Node { graph });
    let vertex = Vertex {
        work,
        dependencies,
        original: None,
    };
    nodes.insert(handle.bits(), vertex);
    Ok(handle)
}

/// Destroys a graph and its nodes.
pub(crate) fn destroy(graph: Handle<Graph>) -> Outcome {
    let graph = object::remove(graph)?;
    for node in lock(&graph.nodes).keys() {
        let _ = object::remove::<Node>(Handle::from_bits(*node));
    }
    Ok(())
}

/// Copies a graph; the copy's nodes know their originals.
pub(crate) fn duplicate(graph: &Graph) -> Handle<Graph> {
    let copy = object::fresh();
    let old = lock(&graph.nodes).clone();
    let handles: BTreeMap<usize, usize> = (old.keys())
        .map(|node| (*node, object::add(Node { graph: copy }).bits()))
        .collect();
    let renamed = (old.into_iter()).map(|(node, vertex)| {
        let dependencies = vertex.dependencies.iter().map(|d| handles[d]).collect();
        (
            handles[&node],
            Vertex {
                work: vertex.work,
                dependencies,
                original: Some(node),
            },
        )
    });
    let nodes = Mutex::new(renamed.collect());
    object::insert(copy, Arc::new(Graph { nodes }));
    copy
}

impl Graph {
    pub(crate) fn nodes(&self) -> BTreeMap<usize, Vertex> {
        lock(&self.nodes).clone()
    }

    /// All edges, as pairs from and to.
    pub(crate) fn edges(&self) -> Vec<(usize, usize)> {
        let nodes = lock(&self.nodes);
        let of = |(to, vertex): (&usize, &Vertex)| {
            let to = *to;
            vertex
                .dependencies
                .clone()
                .into_iter()
                .map(move |from| (from, to))
        };
        nodes.iter().flat_map(of).collect()
    }

    /// The given nodes and all that they depend on.
    pub(crate) fn ancestors(&self, nodes: &[usize]) -> BTreeSet<usize> {
        let known = lock(&self.nodes);
        let mut reached = BTreeSet::new();
        let mut open = nodes.to_vec();
        while let Some(node) = open.pop() {
            if reached.insert(node)
                && let Some(vertex) = known.get(&node)
            {
                open.extend(&vertex.dependencies);
            }
        }
        reached
    }

    /// Adds or removes an edge.
    pub(crate) fn change_edge(&self, from: usize, to: usize, present: bool) -> Outcome {
        let mut nodes = lock(&self.nodes);
        if !nodes.contains_key(&from) || from == to {
            return Err(Error::INVALID_VALUE);
        }
        let dependencies = &mut nodes.get_mut(&to).ok_or(Error::INVALID_VALUE)?.dependencies;
        let at = dependencies.iter().position(|d| *d == from);
        match (at, present) {
            (None, true) => dependencies.push(from),
            (Some(at), false) => drop(dependencies.remove(at)),
            _ => return Err(Error::INVALID_VALUE),
        }
        Ok(())
    }

    /// An order in which every node comes after what it depends on; `None` if the edges form a circle.
    pub(crate) fn order(&self) -> Option<Vec<usize>> {
        let nodes = lock(&self.nodes);
        let mut waiting: BTreeMap<usize, &Vertex> =
            nodes.iter().map(|(node, vertex)| (*node, vertex)).collect();
        let mut order = Vec::new();
        while !waiting.is_empty() {
            let ready =
                |vertex: &Vertex| !vertex.dependencies.iter().any(|d| waiting.contains_key(d));
            let next = *waiting.iter().find(|(_, vertex)| ready(vertex))?.0;
            waiting.remove(&next);
            order.push(next);
        }
        Some(order)
    }

    fn remove(&self, node: usize) {
        let mut nodes = lock(&self.nodes);
        nodes.remove(&node);
        for vertex in nodes.values_mut() {
            vertex.dependencies.retain(|d| *d != node);
        }
    }
}

impl Handle<Node> {
    /// The node with its place in the graph.
    pub(crate) fn vertex(self) -> Result<Vertex, Error> {
        let graph = self.get()?.graph.get()?;
        let nodes = lock(&graph.nodes);
        nodes.get(&self.bits()).cloned().ok_or(Error::INVALID_VALUE)
    }

    /// Replaces the node's work.
    pub(crate) fn set_work(self, work: Work) -> Outcome {
        let graph = self.get()?.graph.get()?;
        let mut nodes = lock(&graph.nodes);
        nodes
            .get_mut(&self.bits())
            .ok_or(Error::INVALID_VALUE)?
            .work = work;
        Ok(())
    }

    /// Takes the node out of its graph.
    pub(crate) fn destroy(self) -> Outcome {
        let node = object::remove(self)?;
        node.graph.get()?.remove(self.bits());
        Ok(())
    }
}
