"""The native backend: hands an integer graph to the C++ engine (`csrc`), which plans and runs it.

Its results are those of the reference, to the bit, on every instruction set and number of threads.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright import _native
from bitwright.engine.backend import PlanStep
from bitwright.errors import EngineError, WeightsError
from bitwright.graph import Graph, Node, Value
from bitwright.images.encoders import Encoder, Pointwise
from bitwright.ops import integer_op, source
from bitwright.walk import walk

ROUNDS = 20
"""Runs that the times of layers are the median of."""


def make(
    graph: Graph, threads: int | None, isa: str | None = None, encoder: Encoder | None = None, check_weights: int = 0
) -> "Native":
    return Native(graph, threads, isa, encoder, check_weights)


class Native:
    """Runs uint8 images [N, H, W, C] through a checked integer graph."""

    def __init__(
        self,
        graph: Graph,
        threads: int | None = None,
        isa: str | None = None,
        encoder: Encoder | None = None,
        check_weights: int = 0,
    ) -> None:
        self._encoder = encoder
        self._before = graph
        self.graph, self._ends = without_float_reshapes(graph)
        self._shapes = [graph.values[name].shape for name in graph.outputs]
        self._plan = make_plan(self.graph, threads, isa=isa, encoder=encoder, check_weights=check_weights)
        self._keeping: _native.Plan | None = None

    @property
    def threads(self) -> int:
        return int(self._plan.threads)

    def run(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Logits, float32 [N, classes]."""
        return self.outputs(images)[0]

    def outputs(self, images: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        """Every output of the graph, the logits first, float32 [N, ...]. WeightsError where weights have changed in memory."""
        try:
            found, count = np.asarray(self._plan.run(np.ascontiguousarray(images))), len(images)
        except RuntimeError as error:
            raise WeightsError(f"{error}; its results are worth nothing: make a new engine") from error
        if len(self._shapes) == 1:
            return [found.reshape(count, *self._shapes[0])]
        ends = np.cumsum([4 * math.prod(shape) for shape in self._shapes])
        parts = np.split(found, ends[:-1], axis=1)
        return [
            np.ascontiguousarray(p).view(np.float32).reshape(count, *s)
            for p, s in zip(parts, self._shapes, strict=True)
        ]

    def values(self, images: npt.NDArray[np.uint8]) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """Every value in order: codes uint8 [N, C, H, W] or [N, F], and the logits. Nothing is fused for this."""
        if self._keeping is None:
            self._keeping = make_plan(self.graph, 1, keep_values=True, isa=self._plan.isa, encoder=self._encoder)
        of_images = [self._keeping.values(np.ascontiguousarray(image[None])) for image in images]
        floats: dict[str, npt.NDArray[Any]] = {}
        for i, name in enumerate(names(self.graph)):
            value = self.graph.values[name]
            whole = np.empty((len(images), *value.shape), np.float32 if value.type is None else np.uint8)
            for n, values in enumerate(of_images):
                whole[n] = values[i]
            if value.type is None:
                floats[name] = whole
            yield name, whole

        def run(node: Node, xs: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
            before = self._before
            return integer_op(node).run(node, xs, before.inputs_of(node), before.values[node.name])

        for node, _, result in walk(((node, ()) for node in self._ends), floats, run):
            yield node.name, result

    def layers(self, image: npt.NDArray[np.uint8]) -> list[PlanStep]:
        """The steps of the plan, each with its median time over ROUNDS runs of one image [1, H, W, C]."""
        image = np.ascontiguousarray(image)
        runs = [self._plan.time_steps(image) for _ in range(ROUNDS)]
        seconds = [float(t) for t in np.median([[step[-1] for step in run] for run in runs], axis=0)]
        peak = _native.measured_peak(self._plan.isa) * self.threads
        return [
            PlanStep(*step[:-1], seconds=t, share=t / sum(seconds), percent_of_peak=100 * step[4] / t / peak)
            for step, t in zip(runs[0], seconds, strict=True)
        ]


def without_float_reshapes(graph: Graph) -> tuple[Graph, list[Node]]:
    """The graph up to the ops that compute its outputs, and the reshapes of float32 behind them: they move nothing."""
    floats = {name for name, value in graph.values.items() if value.type is None}
    ends = [node for node in graph.nodes if not floats.isdisjoint(node.inputs)]
    computed: dict[str, str] = {}
    for node in ends:
        computed[node.name] = computed.get(source(node), source(node))
    nodes = tuple(node for node in graph.nodes if node.name not in computed)
    values = {name: value for name, value in graph.values.items() if name not in computed}
    return replace(graph, nodes=nodes, values=values).ending(computed), ends


def names(graph: Graph) -> list[str]:
    """The values in the order in which the plan numbers them."""
    return [*graph.inputs, *(node.name for node in graph.nodes)]


def make_plan(
    graph: Graph,
    threads: int | None = None,
    *,
    keep_values: bool = False,
    isa: str | None = None,
    encoder: Encoder | None = None,
    check_weights: int = 0,
) -> _native.Plan:
    """A plan for the graph, which takes pixels, and begins with their bits where there is an encoder.

    EngineError where the engine refuses the graph, or `isa` or BITWRIGHT_ISA names what this processor has not."""
    try:
        _native.chosen_isa(isa or "")
    except (TypeError, RuntimeError) as error:
        raise EngineError(str(error)) from error
    try:
        return _native.Plan(
            *_description(graph), threads or 0, keep_values, isa or "", _encoder(encoder), check_weights
        )
    except (ValueError, TypeError, RuntimeError) as error:  # TypeError: a number that does not fit an int of C++
        raise EngineError(f"the engine cannot plan this graph: {error}") from error


def chosen_kernels(graph: Graph, features: Sequence[str]) -> list[tuple[str, str, str, str]]:
    """What a machine with these features, of `_native.detected_features`, would run: name, op, kernel and isa of each step.

    Nothing runs, so this machine need not have them.
    """
    return _native.chosen_kernels(*_description(graph), features)


def _description(graph: Graph) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]], list[int], list[int]]:
    """Values, nodes, and the numbers of the inputs and of the outputs, as the extension module takes them."""
    number = {name: i for i, name in enumerate(names(graph))}
    values = [_value(graph.values[name]) for name in number]
    nodes = [_node(_simplest(node, graph), number) for node in graph.nodes]
    return values, nodes, [number[name] for name in graph.inputs], [number[name] for name in graph.outputs]


def _encoder(encoder: Encoder | None) -> tuple[str, int, npt.NDArray[np.uint8] | None] | None:
    """An encoder as the extension module takes it."""
    if encoder is None:
        return None
    return encoder.native, encoder.planes, encoder.table if isinstance(encoder, Pointwise) else None


def _value(value: Value) -> tuple[Any, ...]:
    if value.type is None:
        return value.shape, value.channel, None, 1, ()
    codes, zero_points = value.type.codes, value.type.zero_point
    return (
        value.shape,
        value.channel,
        codes.hi,
        codes.step,
        zero_points if isinstance(zero_points, tuple) else (zero_points,),
    )


def _simplest(node: Node, graph: Graph) -> Node:
    return integer_op(node).simplest(node, graph.inputs_of(node), graph.values[node.name])


def _node(node: Node, number: dict[str, int]) -> tuple[Any, ...]:
    attrs = {key: _flat(value) for key, value in node.attrs.items() if not isinstance(value, str)}
    tensors = {key: np.ascontiguousarray(tensor) for key, tensor in node.tensors.items()}
    return node.name, node.op, [number[name] for name in node.inputs], number[node.name], attrs, tensors


def _flat(value: Any) -> Sequence[int]:
    if not isinstance(value, tuple | list):
        return (int(value),)
    return value if {*map(type, value)} <= {int} else tuple([i for v in value for i in _flat(v)])
