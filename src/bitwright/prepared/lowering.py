"""`lower`: from a prepared model, as it is at this moment, to the integer graph that an artifact holds."""

from dataclasses import replace
from typing import TYPE_CHECKING

from bitwright.graph import Graph
from bitwright.ops import float_op
from bitwright.prepared.carried import carry

if TYPE_CHECKING:
    from bitwright.prepared.model import PreparedModel


def lower(model: "PreparedModel") -> Graph:
    """Every float op as the integer op that it becomes. CalibrationError where a value has no range yet."""
    types = {name: quantizer.qtype for name in model.owner if (quantizer := model.quantizer(name)) is not None}
    types[model.graph.input] = model.image
    values = {name: replace(value, type=types.get(name)) for name, value in model.graph.values.items()}
    nodes = []
    for node in model.graph.nodes:
        inputs = [values[name] for name in node.inputs]
        nodes.append(float_op(node).lower(model.layer(node.name).float_node(), inputs, values[node.name]))
    return carry(replace(model.graph, nodes=tuple(nodes), values=values))
