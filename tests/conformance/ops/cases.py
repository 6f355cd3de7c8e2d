"""Cases of every op, gathered from the files beside this one. A new op fails the suite until one of them has a row of it.

`MAKERS` makes small nodes of every integer op, `SLOW` computes each op in plain loops written from docs/arithmetic.md,
`GROW` adds it to a random graph, `FLOAT_MAKERS` makes float nodes of every float op with their real function, and `BODIES`
are functions of PyTorch that capture makes ops of.
"""

import importlib
import pkgutil
from collections.abc import Iterator

import numpy as np
import pytest

import tests.conformance.ops as package
from bitwright.ops import OPS
from tests.conformance.ops.row import Row


def rows() -> Iterator[Row]:
    """The rows of all files here, in the order of the table of ops."""
    modules = [
        importlib.import_module(f"{package.__name__}.{found.name}") for found in pkgutil.iter_modules(package.__path__)
    ]
    found = {row.name: row for module in modules for row in getattr(module, "ROWS", ())}
    yield from (found[name] for name in [*OPS, *(found.keys() - OPS.keys())] if name in found)


ROWS = {row.name: row for row in rows()}
MAKERS = {name: row.cases for name, row in ROWS.items() if row.cases is not None}
SLOW = {name: row.slow for name, row in ROWS.items() if row.slow is not None}
GROW = {name: row.grow for name, row in ROWS.items() if row.grow is not None}
FLOAT_MAKERS = {name: row.floats for name, row in ROWS.items() if row.floats is not None}
BODIES = {label: body for row in ROWS.values() for label, body in row.bodies.items()}

CASES = {f"{op}-{label}": c for op, make in MAKERS.items() for label, c in make(np.random.default_rng(7))}
FIRST = {op: next(make(np.random.default_rng(7)))[1] for op, make in MAKERS.items()}
FLOAT_CASES = {f"{op}-{label}": c for op, make in FLOAT_MAKERS.items() for label, c in make(np.random.default_rng(3))}

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
every_op = pytest.mark.parametrize("case", FIRST.values(), ids=FIRST)
every_float_case = pytest.mark.parametrize("case", FLOAT_CASES.values(), ids=FLOAT_CASES)
