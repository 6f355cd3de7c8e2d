"""`audit_layers`: every value of an integer model beside the float model's, on the same images.

    SQNR     = 10 log10 (sum y**2 / sum (y_q - y)**2) dB        y the float model's value, y_q what the codes stand for
    own      : of the layer alone, its inputs being the float model's, rounded to the codes that it reads
    weights, inputs, rounding, clipping: of the float layer where only that one thing is as in the integer model
Where a value is read through a function of one number alone, as by hardswish, rounding and clipping count behind it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bitwright.artifact import Artifact
from bitwright.audit.constants import Floats, wrong_constants
from bitwright.audit.records import MOST_DB, LayerAudit, WrongConstant
from bitwright.audit.signals import Array, cosine, db_of
from bitwright.audit.weights import Weights, as_float, weights_of
from bitwright.engine import Engine
from bitwright.engine.backend import PlanStep, by_layer
from bitwright.errors import EngineError
from bitwright.graph import Node, Value
from bitwright.ops import float_op, integer_op, source
from bitwright.ops.epilogue import out_unit
from bitwright.prepared import PreparedModel
from bitwright.prepared.layer import Layer
from bitwright.progress import SILENT, Progress
from bitwright.qtensor import QType, to_codes, to_real
from bitwright.schemes import SCHEMES, Carried
from bitwright.walk import walk

HELD_BYTES = 2**28
"""The most bytes that the codes of all images traced at once may have."""
BINS = 64
"""How many bins the histogram of a float32 value has."""
Pixels = npt.NDArray[np.uint8]


def layer_images(artifact: Artifact, wanted: int) -> int:
    """How many of the wanted images fit into memory with all their values."""
    largest = sum(int(np.prod(value.shape)) for value in artifact.graph.values.values())
    return max(1, min(wanted, HELD_BYTES // (2 * largest)))


@torch.no_grad()
def audit_layers(
    prepared: PreparedModel, artifact: Artifact, images: Pixels, *, timed: bool = True, progress: Progress = SILENT
) -> tuple[LayerAudit, ...]:
    """Every layer of an artifact, with `matched`'s model beside it, on uint8 images [N, H, W, C]."""
    engine = Engine(artifact, threads=1)
    both = _Both(prepared, artifact, images, engine.trace(images), _steps(engine) if timed else {})
    found: list[LayerAudit] = []
    for node, xs, y in walk(prepared.steps(), both.floats, both.run):
        found.append(both.compare(node, xs, y))
        progress.at("layers", len(found), len(prepared.graph.nodes))
    return tuple(found)


def _steps(engine: Engine) -> dict[str, PlanStep]:
    try:
        return by_layer(engine.explain())
    except EngineError:  # the reference has no kernels
        return {}


@dataclass
class _Both:
    """Both models on the same images; `floats` holds the float model's values that are still read."""

    prepared: PreparedModel
    artifact: Artifact
    images: Pixels
    codes: Mapping[str, Array]
    steps: Mapping[str, PlanStep]
    floats: dict[str, Tensor] = field(default_factory=dict)
    db: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.floats[self.prepared.graph.input] = self.prepared.real_input(torch.from_numpy(self.images))
        self.nodes = {node.name: node for node in self.artifact.graph.nodes}

    def run(self, node: Node, xs: list[Tensor]) -> Tensor:
        """What the float model computes."""
        value: Tensor = self.prepared.layer(node.name)(xs, quantized=False)
        return value

    def compare(self, node: Node, xs: list[Tensor], y: Tensor) -> LayerAudit:
        """Compare one value, which the float model computes as y from xs."""
        values = self.artifact.graph.values
        value, integer = values[node.name], self.nodes[node.name]
        wanted, codes = y.numpy(), self.codes[node.name]
        wanted = np.broadcast_to(wanted, codes.shape)
        real = codes if value.type is None else to_real(codes, value.type)
        self.db[node.name] = db_of(wanted, real)
        before = [self.db[name] for name in node.inputs if name in self.db]
        weights = self._weights(node, integer)
        here = None if weights is None else self._here(node, integer, xs, weights)
        noises = self._noises(node, integer, xs, wanted, here)
        step = self.steps.get(node.name)
        return LayerAudit(
            name=node.name,
            op=integer.op,
            origin=node.origin,
            shape=value.shape,
            scheme=None if value.type is None else value.type.scheme,
            db=self.db[node.name],
            cosine=cosine(wanted, real),
            own_db=self._own(integer, wanted),
            jump_db=min(before) - self.db[node.name] if before else None,
            made_by=_greatest(noises),
            weights_db=noises["weights"],
            inputs_db=noises["inputs"],
            rounding_db=noises["rounding"],
            clipping_db=noises["clipping"],
            **_counts(wanted, codes, value, integer, wanted if here is None else here),
            dead_here=() if weights is None else _dead_here(weights, wanted, value),
            wrong=self._wrong(node, integer, xs, weights),
            weight=None if weights is None else weights.audit(),
            macs=0 if weights is None else weights.codes.size * value.pixels,
            microseconds=None if step is None else 1e6 * step.seconds,
            kernel=None if step is None else f"{step.kernel}, {step.isa}",
        )

    def _weights(self, node: Node, integer: Node) -> Weights | None:
        layer = self.prepared.layer(node.name)
        if layer.quantizer is None or not integer_op(integer).weighted:
            return None
        values = self.artifact.graph.values
        x, y = values[source(integer)], values[node.name]
        return weights_of(layer, integer, x, y, self.prepared.recipe)

    def _wrong(self, node: Node, integer: Node, xs: list[Tensor], weights: Weights | None) -> tuple[WrongConstant, ...]:
        layer, quantizer = self.prepared.layer(node.name), self.prepared.quantizer(node.name)
        if quantizer is not None and isinstance(SCHEMES[quantizer.scheme], Carried):
            return ()
        return wrong_constants(
            layer, integer, self.artifact.graph, weights, lambda: self._noise(integer, layer, xs, weights)
        )

    def _noise(self, integer: Node, layer: Layer, xs: list[Tensor], weights: Weights | None) -> Floats:
        """The error of each channel [C], in units of its bias, by rounded weights and all in front; and one unit more."""
        assert weights is not None
        values = self.artifact.graph.values
        x, y = values[source(integer)], values[integer.name]
        attrs = {key: v for key, v in layer.node.attrs.items() if key != "clamp"}
        rounded = {name: torch.from_numpy(t) for name, t in as_float(weights, layer, x, weights.trusted).items()}
        read = [self._integers(name, given) for name, given in zip(integer.inputs, xs, strict=True)]
        wanted = layer.function(layer.tensors(), xs, attrs=attrs)
        lost = wanted - layer.function(layer.tensors() | rounded, read, attrs=attrs)
        unit = 0.02 * float(wanted.square().mean().sqrt()) if y.type is None else y.type.one_unit
        by_channel = lost.movedim(layer.axis, 0).flatten(1).double().square().mean(dim=1).sqrt().numpy()
        found: Floats = (by_channel + unit) / out_unit(y)
        return found

    def _integers(self, name: str, given: Tensor) -> Tensor:
        """What the integer model has for a value; of the image, the same as the float model."""
        type_ = self.artifact.graph.values[name].type
        if name in self.prepared.graph.inputs or type_ is None:
            return given
        return torch.from_numpy(to_real(self.codes[name], type_)).float()

    def _own(self, integer: Node, wanted: Array) -> float:
        """The SQNR with the float model's inputs, as near as the codes that the layer reads can have them."""
        values = self.artifact.graph.values
        xs = [self._rounded(name) for name in integer.inputs]
        found = integer_op(integer).run(integer, xs, [values[name] for name in integer.inputs], values[integer.name])
        type_ = values[integer.name].type
        return db_of(wanted, np.broadcast_to(found if type_ is None else to_real(found, type_), wanted.shape))

    def _rounded(self, name: str) -> Array:
        """The codes of the float model's value; float32 where it has none."""
        if (
            name in self.prepared.graph.inputs or name not in self.floats
        ):  # the image, or a value that only schemes from outside have
            return self.codes[name]
        type_ = self.artifact.graph.values[name].type
        y = self.floats[name].numpy()
        return y if type_ is None else to_codes(y, type_)

    def _here(self, node: Node, integer: Node, xs: list[Tensor], weights: Weights) -> Array:
        """What the layer makes of the float model's inputs with the weights that its codes stand for."""
        layer, x = self.prepared.layer(node.name), self.artifact.graph.values[source(integer)]
        tensors = layer.tensors() | {name: torch.from_numpy(t) for name, t in as_float(weights, layer, x).items()}
        attrs = {key: v for key, v in layer.node.attrs.items() if key != "clamp"}
        moved = layer.function(tensors, xs, attrs=attrs)
        moved = layer.shifted(moved, torch.from_numpy(weights.shift - weights.float_shift).float())
        return layer.clamp(moved).numpy()

    def _noises(
        self, node: Node, integer: Node, xs: list[Tensor], wanted: Array, here: Array | None
    ) -> dict[str, float | None]:
        values, layer = self.artifact.graph.values, self.prepared.layer(node.name)
        found: dict[str, float | None] = dict.fromkeys(("weights", "inputs", "rounding", "clipping"))
        if here is not None:
            found["weights"] = db_of(wanted, here)
        if node.inputs and self.prepared.graph.input not in node.inputs:
            types = [values[name].type for name in node.inputs]
            rounded = [
                x if type_ is None else torch.from_numpy(to_real(to_codes(x.numpy(), type_), type_)).float()
                for x, type_ in zip(xs, types, strict=True)
            ]
            found["inputs"] = db_of(wanted, layer(rounded, quantized=False).numpy())
        type_ = values[node.name].type
        if type_ is not None and not float_op(node).passes_type:
            found |= self._of_codes(node.name, wanted, type_)
        return found

    def _of_codes(self, name: str, wanted: Array, type_: QType) -> dict[str, float | None]:
        through = self.prepared.calibrator.read_through(name)
        seen = through(wanted.astype(np.float64))
        lo, hi = covered(type_)
        unit = type_.one_unit
        whole = (np.rint(wanted / unit + type_.one_shift) - type_.one_shift) * unit
        return {
            "rounding": db_of(seen, through(whole)),
            "clipping": db_of(seen, through(np.clip(wanted.astype(np.float64), lo, hi))),
        }


def covered(type_: QType) -> tuple[float, float]:
    """The reals of the least and the greatest code."""
    lo, hi = to_real(np.array([0, type_.codes.hi]), type_)
    return float(lo), float(hi)


def _greatest(noises: Mapping[str, float | None]) -> str:
    known = {name: db for name, db in noises.items() if db is not None and db < MOST_DB}
    return min(known, key=lambda name: known[name]) if known else "nothing"


def _counts(wanted: Array, codes: Array, value: Value, integer: Node, here: Array) -> dict[str, Any]:
    """What codes occur, and how they fit the float numbers, and `here` what the layer makes of these: fields of the record."""
    data_range = (float(wanted.min()), float(wanted.max()))
    if value.type is None:
        histogram, _ = np.histogram(codes, BINS, data_range if data_range[0] < data_range[1] else None)
        nothing = dict.fromkeys(("saturated", "at_ends", "at_ends_float", "at_ends_here", "dead_codes"), 0.0)
        return {
            **nothing,
            "dead_channels": (),
            "data_range": data_range,
            "code_range": data_range,
            "histogram": tuple(histogram.tolist()),
        }
    lo, hi = covered(value.type)
    half, greatest = value.type.one_unit / 2, value.type.codes.hi
    nearest = to_codes(wanted, value.type)
    counts = np.bincount(codes.reshape(-1), minlength=greatest + 1)
    may = counts[integer.attrs.get("lo", 0) : integer.attrs.get("hi", greatest) + 1]
    return {
        "saturated": 100 * float(((wanted < lo - half) | (wanted > hi + half)).mean()),
        "at_ends": 100 * float((codes == greatest).mean()),
        "at_ends_float": 100 * float((nearest == greatest).mean()),
        "at_ends_here": 100 * float((to_codes(here, value.type) == greatest).mean()),
        "dead_codes": 100 * float((may == 0).mean()),
        "dead_channels": _dead_channels(nearest, codes, value.axis),
        "data_range": data_range,
        "code_range": (lo, hi),
        "histogram": tuple(counts.tolist()),
    }


def _dead_here(weights: Weights, wanted: Array, value: Value) -> tuple[int, ...]:
    """Channels that nothing reaches by this layer's fault, where the float model's numbers change by a code or more."""
    if value.type is None:
        return tuple(np.flatnonzero(weights.dead).tolist())
    rows = np.moveaxis(wanted, value.axis, 0).reshape(wanted.shape[value.axis], -1)
    moves = rows.max(axis=1) - rows.min(axis=1) >= value.type.one_unit
    return tuple(np.flatnonzero(weights.dead & moves).tolist())


def _dead_channels(nearest: Array, codes: Array, axis: int) -> tuple[int, ...]:
    """Channels that always have one code, where the float model's would have three or more: a rounding alone kills none."""
    rows = [np.moveaxis(a, axis, 0).reshape(a.shape[axis], -1) for a in (nearest, codes)]
    spans = [row.max(axis=1).astype(int) - row.min(axis=1) for row in rows]
    return tuple(np.flatnonzero((spans[1] == 0) & (spans[0] >= 2)).tolist())
