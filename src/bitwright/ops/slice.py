"""Every `step`-th element from `start` up to `stop` along one axis. attrs: axis (0 is the channel), start, stop, step."""

from collections.abc import Sequence

import numpy as np

from bitwright.errors import GraphError
from bitwright.graph import Node, Shape, Value
from bitwright.ops.op import Array, SameTypeOp, integer


class Slice(SameTypeOp):
    name = "slice"
    attrs = {"axis": integer(0, 7), "start": integer(), "stop": integer(1), "step": integer(1)}

    def infer(self, node: Node, shapes: Sequence[Shape]) -> Shape:
        a, shape = node.attrs, shapes[0]
        if a["axis"] >= len(shape) or not a["start"] < a["stop"] <= shape[a["axis"]]:
            raise GraphError(f"the slice {dict(a)} does not fit {shape}")
        length = len(range(a["start"], a["stop"], a["step"]))
        return (*shape[: a["axis"]], length, *shape[a["axis"] + 1 :])

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        a = node.attrs
        index = (slice(None),) * (a["axis"] + 1) + (slice(a["start"], a["stop"], a["step"]),)
        return np.asarray(xs[0][index])
