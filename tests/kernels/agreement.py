"""The one assertion of the kernel tests: on every instruction set here, native and reference give the same bytes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from bitwright import _native
from bitwright.engine.native import make_plan
from bitwright.engine.reference import Reference
from bitwright.graph import Graph

ISAS = tuple(_native.isas())


@contextmanager
def forced(isa: str) -> Iterator[None]:
    before = os.environ.get("BITWRIGHT_ISA")
    os.environ["BITWRIGHT_ISA"] = isa
    try:
        yield
    finally:
        if before is None:
            del os.environ["BITWRIGHT_ISA"]
        else:
            os.environ["BITWRIGHT_ISA"] = before


def available() -> list[str]:
    found = []
    for isa in ISAS:
        with forced(isa):
            try:
                _native.chosen_isa()
            except RuntimeError:
                continue
        found.append(isa)
    return found


def assert_agreement(
    graph: Graph, images: np.ndarray, isas: list[str] | None = None, threads: tuple[int, ...] = (1, 2)
) -> None:
    expected = Reference(graph).run(images)
    for isa in isas or available():
        with forced(isa):
            for count in threads:
                found = make_plan(graph, count).run(images)
                assert found.dtype == expected.dtype
                assert found.shape == expected.shape
                assert found.tobytes() == expected.tobytes(), f"{isa}, {count} threads: {differences(found, expected)}"


def differences(found: np.ndarray, expected: np.ndarray) -> str:
    wrong = np.argwhere(found != expected)
    return f"{len(wrong)} of {found.size} differ, the first at {wrong[0] if len(wrong) else '(signs of zero)'}"
