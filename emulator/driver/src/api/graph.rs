//! Graphs: creation, structure, copies.

use crate::driver::driver;
use crate::error::{Error, Outcome};
use crate::graph::{self, Graph};
use crate::object;
use crate::pointer::{In, Out};
use crate::types::{CUgraph, CUgraphNode, EdgeData};

/// Fills a caller's list: `count` says how long it is and is told how much there is. A null list only asks.
fn list(nodes: Out<CUgraphNode>, count: Out<usize>, found: &[usize]) -> Outcome {
    if nodes.is_null() {
        return count.set(found.len());
    }
    let room = count.as_in().get()?;
    for (i, node) in found.iter().take(room).enumerate() {
        nodes.set_at(i, CUgraphNode::from_bits(*node))?;
    }
    for i in found.len()..room {
        nodes.set_at(i, CUgraphNode::NULL)?;
    }
    count.set(found.len().min(room))
}

fn edges(
    graph: CUgraph,
    from: Out<CUgraphNode>,
    to: Out<CUgraphNode>,
    data: Out<EdgeData>,
    count: Out<usize>,
) -> Outcome {
    let found = graph.get()?.edges();
    let (starts, ends): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    if from.is_null() || to.is_null() {
        return count.set(starts.len());
    }
    let room = count.as_in().get()?;
    list(from, count, &starts)?;
    count.set(room)?;
    list(to, count, &ends)?;
    clear_edge_data(data, room)
}

/// Plain edges carry no data.
fn clear_edge_data(data: Out<EdgeData>, count: usize) -> Outcome {
    if data.is_null() {
        return Ok(());
    }
    (0..count).try_for_each(|i| data.set_at(i, EdgeData::default()))
}

fn dependents(node: CUgraphNode) -> Result<Vec<usize>, Error> {
    let graph = node.get()?.graph.get()?;
    let edges = graph.edges().into_iter();
    Ok(edges
        .filter(|(from, _)| *from == node.bits())
        .map(|(_, to)| to)
        .collect())
}

fn change_edges(
    graph: CUgraph,
    from: In<CUgraphNode>,
    to: In<CUgraphNode>,
    count: usize,
    present: bool,
) -> Outcome {
    let graph = graph.get()?;
    (0..count).try_for_each(|i| graph.change_edge(from.at(i)?.bits(), to.at(i)?.bits(), present))
}

fn related(
    nodes: Out<CUgraphNode>,
    data: Out<EdgeData>,
    count: Out<usize>,
    found: &[usize],
) -> Outcome {
    list(nodes, count, found)?;
    if nodes.is_null() {
        Ok(())
    } else {
        clear_edge_data(data, count.as_in().get()?)
    }
}

abi! { SYMBOLS:
    fn cuGraphCreate(graph: Out<CUgraph>, flags: u32) = "cuGraphCreate" since 10000 {
        driver()?;
        if graph.is_null() || flags != 0 {
            return Err(Error::INVALID_VALUE);
        }
        graph.set(object::add(Graph::default()))
    }

    fn cuGraphDestroy(graph: CUgraph) = "cuGraphDestroy" since 10000 {
        driver()?;
        graph::destroy(graph)
    }

    fn cuGraphClone(copy: Out<CUgraph>, graph: CUgraph) = "cuGraphClone" since 10000 {
        let graph = graph.get()?;
        if copy.is_null() {
            return Err(Error::INVALID_VALUE);
        }
        copy.set(graph::duplicate(&graph))
    }

    fn cuGraphNodeFindInClone(found: Out<CUgraphNode>, node: CUgraphNode, copy: CUgraph) = "cuGraphNodeFindInClone" since 10000 {
        let nodes = copy.get()?.nodes();
        let of_node = nodes.iter().find(|(_, vertex)| vertex.original == Some(node.bits()));
        let (bits, _) = of_node.ok_or(Error::INVALID_VALUE)?;
        found.set(CUgraphNode::from_bits(*bits))
    }

    fn cuGraphGetNodes(graph: CUgraph, nodes: Out<CUgraphNode>, count: Out<usize>) = "cuGraphGetNodes" since 10000 {
        let found: Vec<usize> = graph.get()?.nodes().into_keys().collect();
        list(nodes, count, &found)
    }

    fn cuGraphGetRootNodes(graph: CUgraph, nodes: Out<CUgraphNode>, count: Out<usize>) = "cuGraphGetRootNodes" since 10000 {
        let all = graph.get()?.nodes().into_iter();
        let roots: Vec<usize> = all.filter(|(_, v)| v.dependencies.is_empty()).map(|(node, _)| node).collect();
        list(nodes, count, &roots)
    }

    fn cuGraphGetEdges(graph: CUgraph, from: Out<CUgraphNode>, to: Out<CUgraphNode>, count: Out<usize>) = "cuGraphGetEdges" since 10000 {
        edges(graph, from, to, Out::NULL, count)
    }

    fn cuGraphGetEdges_v2(graph: CUgraph, from: Out<CUgraphNode>, to: Out<CUgraphNode>, data: Out<EdgeData>, count: Out<usize>) = "cuGraphGetEdges" since 12030 {
        edges(graph, from, to, data, count)
    }

    fn cuGraphNodeGetDependencies(node: CUgraphNode, nodes: Out<CUgraphNode>, count: Out<usize>) = "cuGraphNodeGetDependencies" since 10000 {
        list(nodes, count, &node.vertex()?.dependencies)
    }

    fn cuGraphNodeGetDependencies_v2(node: CUgraphNode, nodes: Out<CUgraphNode>, data: Out<EdgeData>, count: Out<usize>) = "cuGraphNodeGetDependencies" since 12030 {
        related(nodes, data, count, &node.vertex()?.dependencies)
    }

    fn cuGraphNodeGetDependentNodes(node: CUgraphNode, nodes: Out<CUgraphNode>, count: Out<usize>) = "cuGraphNodeGetDependentNodes" since 10000 {
        list(nodes, count, &dependents(node)?)
    }

    fn cuGraphNodeGetDependentNodes_v2(node: CUgraphNode, nodes: Out<CUgraphNode>, data: Out<EdgeData>, count: Out<usize>) = "cuGraphNodeGetDependentNodes" since 12030 {
        related(nodes, data, count, &dependents(node)?)
    }

    fn cuGraphAddDependencies(graph: CUgraph, from: In<CUgraphNode>, to: In<CUgraphNode>, count: usize) = "cuGraphAddDependencies" since 10000 {
        change_edges(graph, from, to, count, true)
    }

    fn cuGraphAddDependencies_v2(graph: CUgraph, from: In<CUgraphNode>, to: In<CUgraphNode>, data: In<EdgeData>, count: usize) = "cuGraphAddDependencies" since 12030 {
        let _ = data;
        change_edges(graph, from, to, count, true)
    }

    fn cuGraphRemoveDependencies(graph: CUgraph, from: In<CUgraphNode>, to: In<CUgraphNode>, count: usize) = "cuGraphRemoveDependencies" since 10000 {
        change_edges(graph, from, to, count, false)
    }

    fn cuGraphRemoveDependencies_v2(graph: CUgraph, from: In<CUgraphNode>, to: In<CUgraphNode>, data: In<EdgeData>, count: usize) = "cuGraphRemoveDependencies" since 12030 {
        let _ = data;
        change_edges(graph, from, to, count, false)
    }
}
