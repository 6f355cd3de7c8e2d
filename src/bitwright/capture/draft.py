"""A float graph under construction: names, places in the model, constants, channel axes. What ops mean is the builder's.

No PyTorch here: a frontend of any format writes its graph with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.errors import CaptureError
from bitwright.graph import INPUT, Graph, Node, Shape, Value
from bitwright.ops import FLOAT_OPS

Array = npt.NDArray[Any]


class Unmapped(Exception):
    """An op is used in a way that our graph has no words for; the message says which."""


@dataclass(frozen=True)
class Site:
    """Where in the model an op is: the path of its module, and whether it is all of that module, so that it has its name."""

    path: str = ""
    whole: bool = False


@dataclass(frozen=True, eq=False)
class Constant:
    """Numbers that belong to the model, axes as in the model: what is broadcast against a batch may have its axis.

    `name` is what the model calls them, if it does. `learned` is True for a parameter, which stays one.
    """

    array: Array
    name: str = ""
    learned: bool = False


Operand = str | Constant | float
"""A value of the graph by its name, a constant, or a number."""


def as_constant(operand: Operand) -> Constant:
    """An operand that has to be a constant; Unmapped where it is a value."""
    if isinstance(operand, str):
        raise Unmapped("an argument that is neither a parameter nor a constant")
    return operand if isinstance(operand, Constant) else Constant(np.asarray(operand, np.float32))


def as_value(operand: Operand) -> str:
    """An operand that has to be a value; Unmapped where it is a constant."""
    if not isinstance(operand, str):
        raise Unmapped("an argument that is not computed from the image")
    return operand


class Draft:
    """Collects nodes. `site` is where the ops are that are added next; `values` holds what there is so far.

    `inputs` are the shapes of the graph's inputs by name; the shape alone where there is one, which is called "input" then.
    """

    def __init__(self, inputs: Shape | Mapping[str, Shape]) -> None:
        self.site = Site()
        self.nodes: list[Node] = []
        shapes = inputs if isinstance(inputs, Mapping) else {INPUT: inputs}
        self.inputs = tuple(shapes)
        self.values = {name: Value(shape) for name, shape in shapes.items()}

    def emit(
        self,
        op: str,
        inputs: Sequence[str],
        attrs: Mapping[str, Any] | None = None,
        tensors: Mapping[str, Constant | Array] | None = None,
        label: str = "",
    ) -> str:
        """Add a node; its name comes from the site, and `label` (or the op) where that is not enough."""
        path = self.site.path
        inputs = [self.with_channel(i, FLOAT_OPS[op].channel_of(self.values[i].shape)) for i in inputs]
        name = self._free(path if self.site.whole else f"{path}.{label or op}".lstrip("."))
        arrays = {}
        for key, tensor in (tensors or {}).items():
            given = tensor if isinstance(tensor, Constant) else Constant(tensor)
            arrays[key] = _normal(given.array, given.name or f"{name} ({key})")
        return self._add(Node(name, op, tuple(inputs), dict(attrs or {}), arrays, origin=path))

    def with_channel(self, name: str, channel: int | None) -> str:
        """A value with this axis as its channel: `name` itself where it has it already, or any will do; else it is moved."""
        value = self.values[name]
        if channel is None or channel == value.channel:
            return name
        attrs = {"dims": tuple(range(len(value.shape)))}
        moved = self._add(Node(self._free(f"{name}.moved"), "permute", (name,), attrs, {}, self.site.path))
        self.values[moved] = value.at(channel)
        return moved

    def constant_value(self, source: Operand, shape: Shape, channel: int) -> str:
        """A constant or a number as a value of this shape, for ops that read it as they read any value."""
        given = as_constant(source)
        full = np.ascontiguousarray(np.broadcast_to(given.array, (1, *shape))[0], np.float32)
        name = self._free(given.name or f"{self.site.path}.constant".lstrip("."))
        full = _normal(full, name)
        attrs = {} if given.learned else {"constant": True}
        made = self._add(Node(name, "constant", (), attrs, {"value": full}, origin=self.site.path))
        self.values[made] = self.values[made].at(channel)
        return made

    def finish(self, outputs: Mapping[str, object]) -> Graph:
        """The finished graph, with these values as its outputs by name, a classifier's logits first.

        CaptureError where one is no value that this graph computes.
        """
        found: dict[str, str] = {}
        for name, output in outputs.items():
            if not isinstance(output, str) or output in self.inputs:
                raise CaptureError(f"the output {name!r} of the model is not computed from its input")
            found[name] = output
        (name, output), *others = found.items()
        return Graph(tuple(self.nodes), self.values, output, dict(others), self.inputs, name).pruned()

    def _add(self, node: Node) -> str:
        self.values[node.name] = FLOAT_OPS[node.op].infer(node, [self.values[i] for i in node.inputs])
        self.nodes.append(node)
        return node.name

    def _free(self, name: str) -> str:
        taken, candidate, count = self.values, name, 0
        while candidate in taken:
            count += 1
            candidate = f"{name}_{count}"
        return candidate


def _normal(array: Array, name: str) -> Array:
    """The array, with 0 for subnormal numbers; CaptureError where a number is not finite.

    Weights that decay for long end below 1.2e-38, where they are worth nothing and processors multiply them many times slower:
    a network in network that was trained on CIFAR-10 takes eight times as long.
    """
    wrong = array.size - int(np.isfinite(array).sum())
    if wrong:
        raise CaptureError(
            f"{name} holds numbers that are not finite (NaN or infinite): {wrong} of {array.size}; "
            "did the training diverge, or is the checkpoint damaged?"
        )
    if array.dtype != np.float32:
        return array
    subnormal = (array != 0) & (np.abs(array) < np.finfo(np.float32).tiny)
    return np.where(subnormal, np.float32(0), array) if subnormal.any() else array
