"""What each layer with weights costs at each pair of widths: bytes in the file, and measured time in the native engine.

The network is run with all layers at the pair, and the time of each of the plan's steps taken. Widths at which a layer
runs the same kernel on as many bytes cost the same: their times differ by noise alone, so they share their median.
"""

import copy
import platform
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from bitwright.algorithms.ranges import range_algorithm
from bitwright.artifact import Artifact
from bitwright.engine import Engine
from bitwright.engine.backend import PlanStep, by_layer
from bitwright.graph import Graph
from bitwright.prepared import PreparedModel
from bitwright.schemes import SCHEMES

if TYPE_CHECKING:
    from bitwright.budget.sensitivities import Study


@dataclass(frozen=True)
class Cost:
    """What a layer costs whose weights have `weights` bits and read codes of `activations` bits.

    `bytes` are those of the packed weights in the file; `seconds` and `kernel` those of one image in the engine, None where
    they were not measured. A layer that reads the image reads 8 bits whatever is chosen.
    """

    layer: str
    weights: int
    activations: int
    bytes: int
    seconds: float | None = None
    kernel: str | None = None


def layer_costs(study: "Study", latency: bool) -> tuple[Cost, ...]:
    """The cost of every layer with weights at every pair of widths; of time only with `latency`."""
    sizes = {name: study.prepared.layer(name).tensors()["weight"].numel() for name in study.layers["weights"]}
    pairs = [(w, a) for w in study.bits for a in study.bits]
    if not latency:
        return tuple(Cost(name, w, a, _bytes(n, w)) for name, n in sizes.items() for w, a in pairs)
    key = {**study.key, "costs": [study.bits, study.threads], "machine": machine()}
    known = study.cache.get(**key)
    if known is None:
        steps = {pair: _steps(study, *pair) for pair in pairs}
        costs = [cost for name, n in sizes.items() for cost in _of_layer(name, n, steps)]
        known = [asdict(cost) for cost in costs]
        study.cache.put(known, **key)
    return tuple(Cost(**cost) for cost in known)


def _of_layer(name: str, weights: int, steps: dict[tuple[int, int], dict[str, PlanStep]]) -> list[Cost]:
    alike: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for found in steps.values():
        if name in found:
            alike[_kind(found[name])].append(found[name].seconds)
    costs = []
    for (w, a), found in steps.items():
        step = found.get(name)
        seconds = 0.0 if step is None else median(alike[_kind(step)])
        kernel = None if step is None else f"{step.kernel}, {step.isa}"
        costs.append(Cost(name, w, a, _bytes(weights, w), seconds, kernel))
    return costs


def _kind(step: PlanStep) -> tuple[str, str, int]:
    return step.kernel, step.isa, step.bytes


def _steps(study: "Study", weights: int, activations: int) -> dict[str, PlanStep]:
    graph = _at(study.base().prepared, weights, activations)
    engine = Engine(Artifact(graph, study.prepared.preprocess), backend="native", threads=study.threads)
    return by_layer(engine.explain())


def _at(prepared: PreparedModel, weights: int, activations: int) -> Graph:
    """The model with all weights and all codes at these widths, with ranges that are chosen fast: accuracy does not matter."""
    changed = copy.deepcopy(prepared)
    for node in changed.graph.nodes:
        layer, quantizer = changed.layer(node.name), changed.quantizer(node.name)
        if layer.quantizer is not None:
            layer.quantizer.scheme = f"int{weights}"
        if quantizer is not None:
            quantizer.scheme = f"uint{activations}"
    changed.calibrator.choose_ranges(range_algorithm("minmax"))
    return changed.lower()


def _bytes(count: int, bits: int) -> int:
    return SCHEMES[f"int{bits}"].packed_bytes(count)


def machine() -> dict[str, Any]:
    """What times depend on: the processor, how many of them this process may use, and the instruction set chosen."""
    from bitwright import _native

    model = platform.processor() or platform.machine()
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        named = [line.partition(":")[2].strip() for line in listing.read_text().splitlines() if "model name" in line]
        model = named[0] if named else model
    return {"processor": model, "processors": _native.available_threads(), "isa": _native.chosen_isa()}
