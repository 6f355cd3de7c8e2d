"""Every `step`-th element from `start` up to `stop` along one axis. attrs: axis, start, stop, step."""

from collections.abc import Sequence

import numpy as np

from bitwright.errors import GraphError
from bitwright.graph import Node, Value
from bitwright.ops.op import Array, MoveOp, integer


class Slice(MoveOp):
    name = "slice"
    attrs = {"axis": integer(0, 7), "start": integer(), "stop": integer(1), "step": integer(1)}

    def infer(self, node: Node, inputs: Sequence[Value]) -> Value:
        a, shape = node.attrs, inputs[0].shape
        if a["axis"] >= len(shape) or not a["start"] < a["stop"] <= shape[a["axis"]]:
            raise GraphError(f"the slice {dict(a)} does not fit {shape}")
        length = len(range(a["start"], a["stop"], a["step"]))
        return Value((*shape[: a["axis"]], length, *shape[a["axis"] + 1 :]), channel=inputs[0].channel)

    def simplest(self, node: Node, inputs: Sequence[Value], output: Value) -> Node:
        """The step stays within what is cut."""
        a = node.attrs
        return node.with_attrs(step=min(a["step"], a["stop"] - a["start"]))

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        a = node.attrs
        index = (slice(None),) * (a["axis"] + 1) + (slice(a["start"], a["stop"], a["step"]),)
        return np.asarray(xs[0][index])
