"""What a graph has around a node, for those who look for idioms in it."""

from collections.abc import Callable
from typing import Any

import numpy.typing as npt
import onnx_ir as ir

from bitwright.capture.onnx.call import as_written

Match = Callable[[ir.Node], "tuple[ir.Value, str, list[ir.Value | None], dict[str, Any]] | None"]
"""From a node that surely belongs to it: the value that is computed, and the op, operands and attributes in its place."""


def apply(graph: ir.Graph, match: Match) -> None:
    for node in list(graph):
        found = match(node)
        if found is None:
            continue
        value, op, parts, attributes = found
        last = value.producer()
        if last is None:
            continue
        made = ir.node(op, parts, attributes, name=last.name, metadata_props=dict(last.metadata_props))
        made.outputs[0].name, value.name = value.name, f"{value.name}.apart"
        made.outputs[0].shape = value.shape
        graph.insert_after(last, made)
        ir.convenience.replace_all_uses_with(value, made.outputs[0], replace_graph_outputs=True)


def constant(value: ir.Value | None) -> npt.NDArray[Any] | None:
    """What a value holds that belongs to the model; None where it is computed."""
    return None if value is None or value.const_value is None else value.const_value.numpy()


def number(value: ir.Value | None) -> float | None:
    """The one number that a value holds; None where it is something else."""
    found = constant(value)
    return as_written(found.reshape(-1)[0]) if found is not None and found.size == 1 else None


def made_by(value: ir.Value | None, *ops: str) -> ir.Node | None:
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type in ops else None


def operands(node: ir.Node) -> tuple[ir.Value | None, ir.Value | None]:
    """The computed operand of a sum or product, and the constant one; (None, None) where there are no such two."""
    first, second = node.inputs
    if constant(second) is not None:
        return first, second
    return (second, first) if constant(first) is not None else (None, None)


def only_reader(value: ir.Value, op: str) -> ir.Node | None:
    uses = value.uses()
    node = next(iter(uses)).node if len(uses) == 1 and not value.is_graph_output() else None
    return node if node is not None and node.op_type == op else None
