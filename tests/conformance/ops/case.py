"""One node of an integer op with its surroundings, and codes to run it on."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from bitwright.errors import GraphError
from bitwright.graph import Node, Value
from bitwright.ops import INTEGER_OPS
from bitwright.qtensor import QType

N = 2


FULL = {"lo": 0, "hi": 255}


U8 = QType("uint8", 0.05, 128)


IMAGE3 = QType("uint8", (0.01, 0.02, 0.03), (0, 128, 255), (0.001, -0.002, 0.0))


@dataclass(frozen=True)
class Case:
    """One node with its surroundings, and codes to run it on."""

    node: Node
    inputs: tuple[Value, ...]
    output: Value
    xs: tuple[np.ndarray, ...]

    @property
    def op(self) -> Any:
        return INTEGER_OPS[self.node.op]

    def validate(self) -> None:
        self.op.validate(self.node, list(self.inputs), self.output)

    def run(self) -> np.ndarray:
        """The result for a whole batch, also where the op reads nothing and gives one result for all images."""
        found = self.op.run(self.node, list(self.xs), list(self.inputs), self.output)
        return found if self.xs else np.broadcast_to(found, (N, *self.output.shape))

    def with_tensors(self, **tensors: Any) -> "Case":
        return replace(self, node=replace(self.node, tensors={**self.node.tensors, **tensors}))

    def with_attrs(self, **attrs: Any) -> "Case":
        return replace(self, node=self.node.with_attrs(**attrs))


def codes(rng: np.random.Generator, value: Value) -> np.ndarray:
    """Random codes of a value's type, every third one an extreme; of a float32 value, random numbers."""
    shape = (N, *value.shape)
    if value.type is None:
        return rng.normal(size=shape).astype(np.float32)
    hi = value.type.codes.hi
    extreme = rng.choice([0, hi], shape)
    return np.where(rng.random(shape) < 0.3, extreme, rng.integers(0, hi + 1, shape)).astype(np.uint8)


def f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def case(rng, op, inputs, output, attrs=None, tensors=None) -> Case:
    names = tuple(f"x{i}" for i in range(len(inputs)))
    node = Node("it", op, names, attrs or {}, tensors or {})
    return Case(node, tuple(inputs), output, tuple(codes(rng, v) for v in inputs))


def signs(rng, count, size) -> np.ndarray:
    """Multipliers of both signs: a batch norm may turn a channel around."""
    return (rng.choice([-1, 1], count) * rng.uniform(0.3, 1.5, count) * size).astype(np.float32)


def refuse(case: Case, match: str | None = None) -> None:
    with pytest.raises(GraphError, match=match) as caught:
        case.validate()
    assert str(caught.value)
