"""`wrong_constants`: numbers of an integer layer that are not what lowering its float layer again gives.

Multipliers, biases, bounds and tables follow from the float parameters and from the scales of what a layer reads and writes.
Only two things do not: the scale of a weight, which its codes tell (`Weights.trusted`), and what a correction added to a bias,
which is never much more than the error that it makes up for.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.audit.records import WrongConstant
from bitwright.audit.weights import Weights
from bitwright.errors import GraphError
from bitwright.graph import Graph, Node
from bitwright.ops import float_op, source
from bitwright.ops.conv2d import image_scale
from bitwright.prepared.layer import Layer
from bitwright.schemes import SCHEMES
from bitwright.schemes.carried import Carried

Floats = npt.NDArray[np.float64]
EXACT = 1e-3
"""The relative difference that is none: these numbers were rounded to float32 once."""
CORRECTED = 3.0
"""A bias may be off by that many times the error that a correction may make up for: in sound models it was 1.2 at most."""
ATTRIBUTES = ("lo", "hi", "stride", "padding", "dilation", "groups")


def wrong_constants(
    layer: Layer, node: Node, graph: Graph, weights: Weights | None, noise: Callable[[], Floats]
) -> tuple[WrongConstant, ...]:
    """What is wrong with a node of an artifact's `graph`, whose float layer is `layer`.

    `noise` gives the error of each channel [O] that a correction of the bias may make up for, in units of `b`.
    """
    expected = _lowered(layer, node, graph, weights)
    if expected is None or expected.op != node.op:
        return ()
    found = [
        WrongConstant(key, (), 1, *_numbers(node.attrs[key], expected.attrs[key]))
        for key in ATTRIBUTES
        if node.attrs.get(key) != expected.attrs.get(key)
    ]
    for key, wanted in expected.tensors.items():
        is_, of = node.tensors[key].astype(np.float64), wanted.astype(np.float64)
        off = np.abs(is_ - of)
        if weights is None or key not in ("weight", "m", "b"):
            wrong = off > EXACT * np.maximum(np.abs(of), EXACT * np.abs(of).max(initial=0.0))
            found += _wrong(key, wrong, is_, of)
        elif key == "m":
            found += _wrong(key, _misfits(weights).reshape(of.shape), is_, of)
        elif key == "b":
            found += _wrong(key, _shifted(off, of, weights, noise), is_, of)
    return tuple(found)


def _lowered(layer: Layer, node: Node, graph: Graph, weights: Weights | None) -> Node | None:
    """The integer node as the float layer asks for it; None where a scheme from outside has changed it."""
    if layer.quantizer is not None and (weights is None or isinstance(SCHEMES[layer.quantizer.scheme], Carried)):
        return None
    exact = layer.float_node()
    if weights is not None:
        step = np.where(weights.trusted > 0, weights.trusted, 1.0)
        real = weights.codes * weights.column(step)
        x = graph.values[source(node)]
        if x.type is not None and x.type.per_channel:
            real = real / image_scale(x.type, len(real), node.attrs["groups"])
        plain = {name: tensor.detach().cpu().numpy() for name, tensor in layer.tensors().items()}
        scales = {"weight": real, "weight_scale": step.reshape(node.tensors["m"].shape)}
        exact = replace(exact, tensors={**plain, **scales}).with_attrs(weights=node.attrs["weights"])
    try:
        found: Node = float_op(exact).lower(exact, graph.inputs_of(node), graph.values[node.name])
    except GraphError:
        return None
    return found


def _misfits(weights: Weights) -> npt.NDArray[np.bool_]:
    """The rows whose step is wrong, though their codes are right: of damaged codes nobody knows what step they have."""
    found: npt.NDArray[np.bool_] = weights.misfits & ~weights.damaged & (weights.stored != 0)
    return found


def _shifted(off: Floats, wanted: Floats, weights: Weights, noise: Callable[[], Floats]) -> npt.NDArray[np.bool_]:
    """Biases that are further off than a correction brings them, of channels that have their codes and are not dead."""
    damaged = weights.damaged.reshape(len(off), -1).any(axis=1)
    unlike = (off > 1.0) & ~damaged & ~weights.dead
    if not unlike.any():
        return unlike
    found: npt.NDArray[np.bool_] = unlike & (off > CORRECTED * noise())
    return found


def _wrong(key: str, wrong: npt.NDArray[np.bool_], found: Floats, expected: Floats) -> list[WrongConstant]:
    if not wrong.any():
        return []
    worst = np.unravel_index(np.argmax(np.where(wrong, np.abs(found - expected), -1.0)), wrong.shape)
    places = np.flatnonzero(wrong.reshape(len(wrong), -1).any(axis=1)).tolist() if wrong.size > 1 else ()
    return [WrongConstant(key, tuple(places), len(wrong), float(found[worst]), float(expected[worst]))]


def _numbers(found: Any, expected: Any) -> tuple[float, float]:
    """The first two numbers that differ."""
    pairs = zip(np.ravel(found).tolist(), np.ravel(expected).tolist(), strict=True)
    return next((float(a), float(b)) for a, b in pairs if a != b)
