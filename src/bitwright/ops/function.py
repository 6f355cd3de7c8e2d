"""Any function of one number that is made of elementwise ones: elu(x), x / (1 + abs(x)). attrs: steps. Lowers to `table`.

A step is a function by its ATen name, and its arguments: numbers, the results of earlier steps, and columns of one number
for each channel. However many steps there are, the integer model rounds once. Over tokens it has tensors `reads` and `writes`
[C]: of each channel it is `writes * f(reads * x)`, and lowers to one table for each channel where these are not all 1, or where
there are columns.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.errors import GraphError
from bitwright.graph import Node, Shape, Value
from bitwright.ops.functions import FUNCTIONS, NEVER_NEGATIVE
from bitwright.ops.unary import Unary


@dataclass(frozen=True)
class Result:
    """The result of the step before which `index` others are; index 0 is x itself."""

    index: int


@dataclass(frozen=True)
class Step:
    """One elementwise function with its arguments, as ATen orders and names them."""

    name: str
    args: tuple[Any, ...] = (Result(0),)
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """An argument of which each channel has its own: one number a channel."""

    numbers: tuple[float, ...]


def compute(
    steps: tuple[Step, ...], x: Any, call: Callable[..., Any], column: Callable[[tuple[float, ...]], Any]
) -> Any:
    """The last step's result; `call(name, *args, **kwargs)` computes one, in NumPy or in PyTorch.

    `column(numbers)` gives one number for each channel the shape in which it fits x.
    """
    results = [x]
    for step in steps:
        args = (
            results[arg.index] if isinstance(arg, Result) else column(arg.numbers) if isinstance(arg, Column) else arg
            for arg in step.args
        )
        results.append(call(step.name, *args, **step.kwargs))
    return results[-1]


def in_numpy(name: str, *args: Any, **kwargs: Any) -> Any:
    """The result of one step."""
    return FUNCTIONS[name](*args, **kwargs)


def columns_of(steps: Sequence[Step]) -> list[tuple[float, ...]]:
    """The columns among the arguments."""
    return [arg.numbers for step in steps for arg in step.args if isinstance(arg, Column)]


class Function(Unary):
    name = "function"

    def factors(self, node: Node, output: Value) -> Mapping[str, Shape]:
        """Over tokens alone: planes and features keep one table for all channels, which the kernel before it looks up."""
        return {"reads": (output.channels,), "writes": (output.channels,)} if output.channel else {}

    def varies(self, node: Node) -> bool:
        return bool(columns_of(node.attrs["steps"]))

    def function(self, x: npt.NDArray[np.float64], node: Node) -> npt.NDArray[np.float64]:
        reads, writes = (np.asarray(node.tensors.get(key, 1.0), np.float64) for key in ("reads", "writes"))
        if (columns := columns_of(node.attrs["steps"])) and x.ndim == 1:
            x = np.tile(x, (len(columns[0]), 1))
        if (reads == 1).all() and (writes == 1).all():
            return self._shared(x, node)
        return self._shared(x * reads[:, None], node) * writes[:, None]

    def _shared(self, x: npt.NDArray[np.float64], node: Node) -> npt.NDArray[np.float64]:
        with np.errstate(all="ignore"):
            found = compute(node.attrs["steps"], x, in_numpy, lambda numbers: np.array(numbers)[:, None])
        return _finite(np.broadcast_to(np.asarray(found, np.float64), x.shape), node)

    def never_negative(self, node: Node) -> bool:  # factors are positive
        return node.attrs["steps"][-1].name in NEVER_NEGATIVE


def _finite(y: npt.NDArray[np.float64], node: Node) -> npt.NDArray[np.float64]:
    """Where a function isn't finite, such as log(0), its value at the nearest argument (along the last axis) where it is."""
    if np.isfinite(y).all():
        return y
    rows = []
    for row in y.reshape(-1, y.shape[-1]):
        (known,) = np.nonzero(np.isfinite(row))
        if not len(known):
            names = ", ".join(step.name for step in node.attrs["steps"])
            raise GraphError(f"node {node.name!r} ({names}): not finite for any number that its input can hold")
        after = np.clip(np.searchsorted(known, np.arange(len(row))), 0, len(known) - 1)
        before = np.maximum(after - 1, 0)
        place = np.arange(len(row))
        rows.append(row[np.where(place - known[before] <= known[after] - place, known[before], known[after])])
    return np.stack(rows).reshape(y.shape)
