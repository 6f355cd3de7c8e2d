"""What an engine needs of a backend, and the table of backends."""

import importlib
import importlib.util
import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from bitwright.errors import EngineError
from bitwright.graph import Graph
from bitwright.images.encoders import Encoder

BACKENDS = {"native": "bitwright.engine.native", "reference": "bitwright.engine.reference"}
"""Each a module with `make(graph, threads, isa, encoder, check_weights)`; the first is the default where it was built."""

MOST_THREADS = 1024
"""The most threads. More would share no layer, and each has a stack and memory of its own."""


@dataclass(frozen=True)
class PlanStep:
    """What one step of a plan is and costs for one image.

    Attributes:
        name: of the node that the step computes.
        op: of that node.
        kernel: what computes it.
        isa: the instruction set that the kernel was compiled for.
        macs: multiply-adds.
        bytes: read and written at least: codes and packed weights.
        seconds: the median of several runs.
        share: of the time of all steps, 0 to 1.
        percent_of_peak: of the int8 multiply-adds that the threads could do at most, as measured on this machine.
    """

    name: str
    op: str
    kernel: str
    isa: str
    macs: int
    bytes: int
    seconds: float
    share: float
    percent_of_peak: float


def by_layer(steps: Iterable[PlanStep]) -> dict[str, PlanStep]:
    """The steps of each node as one: a layer may also pack its bits, or copy by way of others.

    Kernel and instruction set are those of the step that multiplies, else of the one that takes longest."""
    found: dict[str, PlanStep] = {}
    for step in sorted(steps, key=lambda step: (step.macs, step.seconds), reverse=True):
        first = found.get(step.name)
        found[step.name] = step if first is None else _together(first, step)
    return found


def _together(first: PlanStep, other: PlanStep) -> PlanStep:
    sums = {key: getattr(first, key) + getattr(other, key) for key in ("macs", "bytes", "seconds", "share")}
    work = sum(step.percent_of_peak * step.seconds for step in (first, other))
    return replace(first, **sums, percent_of_peak=work / sums["seconds"] if sums["seconds"] else 0.0)


class Backend(Protocol):
    """Takes pixels; where there is an encoder, it makes bits of them first."""

    def run(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Logits, float32 [N, classes], of uint8 images [N, H, W, C]."""

    def outputs(self, images: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        """Every output of the graph, the logits first, float32 [N, ...]."""

    def values(self, images: npt.NDArray[np.uint8]) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """Every value in order: codes uint8 [N, C, H, W] or [N, F], and the logits."""

    def layers(self, image: npt.NDArray[np.uint8]) -> list[PlanStep]:
        """Each layer's kernel, time and cost, of one image [1, H, W, C]."""


def make_backend(
    graph: Graph,
    name: str | None,
    threads: int | None,
    isa: str | None = None,
    encoder: Encoder | None = None,
    check_weights: int | None = None,
) -> Backend:
    """The backend of this name for a graph, which reads what the encoder makes of pixels, or the pixels themselves."""
    if name is None:
        name = "native" if importlib.util.find_spec("bitwright._native") else "reference"
    if not isinstance(name, str) or name not in BACKENDS:
        raise EngineError(f"expected a backend of {', '.join(BACKENDS)}, found {name!r}")
    threads = (
        None if threads is None else _count(threads, MOST_THREADS, "threads, or None for all that this process may use")
    )
    calls = (
        0 if check_weights is None else _count(check_weights, 2**31 - 1, "calls of check_weights, or None for never")
    )
    try:
        module = importlib.import_module(BACKENDS[name])
    except ImportError as error:
        raise EngineError(
            f"the {name} backend was not built; install bitwright where there is a C++ compiler"
        ) from error
    return cast(Backend, module.make(graph, threads, isa, encoder, calls))


def _count(given: Any, most: int, what: str) -> int:
    """A number of `what` as an int; EngineError for anything else. NumPy's integers count, True does not."""
    try:
        count = 0 if isinstance(given, bool) else operator.index(given)
    except TypeError:
        count = 0
    if not 1 <= count <= most:
        raise EngineError(f"expected 1 to {most} {what}; found {given!r:.100}")
    return count
