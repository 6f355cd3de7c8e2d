"""All that the tests know of one op, in one place: a new op is one file here with its row."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from tests.conformance.ops.case import Case
from tests.conformance.ops.float_case import FloatCase
from tests.kernels.random_graph import RandomGraph


@dataclass(frozen=True)
class Row:
    """One op. Of an integer op: `cases`, `slow` and `grow`; of a float op: `floats`; of one that PyTorch has: `bodies`.

    Fields:
        cases: small nodes with a label each; the first is plain.
        slow: the op for one number of the result, in plain loops written from docs/arithmetic.md.
        grow: adds the op to a random graph, behind a value of planes [C, H, W], and whatever makes planes of the result again.
        floats: float nodes with their real function in float64.
        bodies: functions of PyTorch, of maps [N, 8, 10, 8], that capture makes the op of.
    """

    name: str
    cases: Callable[[np.random.Generator], Iterator[tuple[str, Case]]] | None = None
    slow: Callable[[Case, Any], Any] | None = None
    grow: Callable[[RandomGraph, str], str] | None = None
    floats: Callable[[np.random.Generator], Iterator[tuple[str, FloatCase]]] | None = None
    bodies: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
