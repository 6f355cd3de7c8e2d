"""Schemes from outside become ours in the integer graph: what an artifact holds, and every engine runs."""

from dataclasses import replace

import numpy as np

from bitwright.graph import Graph, Node, Value
from bitwright.ops import integer_op
from bitwright.ops.table import Table
from bitwright.schemes import SCHEMES, Carried


def carry(graph: Graph) -> Graph:
    """The same integer graph with the carrier of every scheme that is not ours; the graph itself where there is none.

    An op whose result is bounded by its type alone may then write greater codes than the scheme has; a table behind it clips
    them, so that the results are those of the scheme.
    """
    values, nodes = dict[str, Value](), list[Node]()
    for name, value in graph.values.items():
        values[name] = value
        if value.type is not None and isinstance(value.type.codes, Carried):
            values[name] = replace(value, type=replace(value.type, scheme=value.type.codes.carrier.name))
    for node in graph.nodes:
        scheme = node.attrs.get("weights")
        if scheme is not None and isinstance(carried := SCHEMES[scheme], Carried):
            node = node.with_attrs(weights=carried.carrier.name)
        old, new = graph.values[node.name].type, values[node.name].type
        if old is None or new is None or old.codes.hi == new.codes.hi or integer_op(node).bounds_codes:
            nodes.append(node)
            continue
        free = _free(f"{node.name}.unclipped", values)
        values[free] = values[node.name]
        clip = np.minimum(np.arange(256), old.codes.hi).astype(np.uint8)
        nodes.append(replace(node, name=free))
        nodes.append(Node(node.name, Table.name, (free,), {}, {"table": clip}, origin=node.origin))
    return replace(graph, nodes=tuple(nodes), values=values)


def _free(name: str, values: dict[str, Value]) -> str:
    while name in values:
        name += "_"
    return name
