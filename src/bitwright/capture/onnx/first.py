"""What a graph does to its image before anything else: casts, means and deviations, H, W, C to C, H, W.

That belongs to the preprocessing, whose real numbers are rounded once, and not to the network.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from bitwright.capture.onnx.matching import constant, number
from bitwright.capture.stem import Stem
from bitwright.errors import ModelError

Numbers = npt.NDArray[np.float64]
CHANNELS = (1, 3)
MOST_CHANNELS = 64
WIDE = (ir.DataType.INT16, ir.DataType.INT32, ir.DataType.INT64)
"""Integers that hold every pixel, and what is added to or multiplied with it."""
TO_PLANES = [0, 3, 1, 2]


@dataclass(frozen=True)
class First:
    """The value that the network begins with in place of the input, what has become of the image, and how it lies there."""

    value: ir.Value
    stem: Stem
    is_planes: bool = True


def first_of(image: ir.Value) -> First:
    """Follow the image as long as each step is one number a channel; stop where it lies as planes, C, H, W.

    Raises:
        ModelError: it has more channels than images have, or the graph computes with it in integers.
    """
    sizes = [size if isinstance(size, int) and size > 0 else None for size in image.shape or ()]
    planes = not (sizes[3] in CHANNELS and sizes[1] not in CHANNELS)
    channels, height, width = sizes[1:4] if planes else (sizes[3], sizes[1], sizes[2])
    if channels is not None and channels > MOST_CHANNELS:
        raise ModelError(f"expected images of at most {MOST_CHANNELS} channels, found {channels}")
    integer = image.dtype is not None and image.dtype.is_integer()
    gain, shift = np.ones(channels or 1), np.zeros(channels or 1)

    def stem() -> Stem:
        size = None if height is None or width is None else (height, width)
        return Stem(size, channels, tuple(gain.tolist()), tuple(shift.tolist()), integer)

    value, found, kind = image, First(image, stem(), planes), image.dtype
    passed = [value]
    while (node := _reader(value)) is not None:
        if node.op_type == "Transpose" and not planes:
            if list(node.attributes["perm"].value) != TO_PLANES:
                break
            planes = True
        elif node.op_type == "Cast":
            to = ir.DataType(node.attributes["to"].value)
            if not (to.is_floating_point() or (to in WIDE and kind is not None and kind.is_integer())):
                break  # it cuts off, or wraps around: the network says that it has no word for that
            kind = to
        elif node.op_type == "QuantizeLinear":
            if not _is_pixels(node):
                break
            kind = ir.DataType.UINT8
        elif node.op_type != "Identity":
            _expect_real(node, kind)
            changed = _changed(node, value, gain, shift, planes, channels)
            if changed is None:
                break
            gain, shift = changed
            kind = ir.DataType.FLOAT if node.op_type == "DequantizeLinear" else kind
        value = node.outputs[0]
        passed.append(value)
        found = First(value, stem(), True) if planes else found
    _ask_of(found.value, passed[: passed.index(found.value)])
    return found


def _ask_of(value: ir.Value, passed: list[ir.Value]) -> None:
    """Let those that ask earlier values how many images there are ask this one, which the network begins with."""
    asked = [use for earlier in passed for use in earlier.uses() if _asks_for_batch(use.node)]
    for use in asked:
        use.node.replace_input_with(use.idx, value)
    if asked and (graph := asked[0].node.graph) is not None:
        graph.sort()


def _asks_for_batch(node: ir.Node) -> bool:
    """Whether a node reads the shape of its input for the number of images alone."""
    if node.op_type != "Shape":
        return False
    ends = [node.attributes[name].value if name in node.attributes else None for name in ("start", "end")]
    readers = [use.node for use in node.outputs[0].uses()]
    firsts = (number(reader.inputs[1]) == 0 for reader in readers if reader.op_type == "Gather")
    return ends in ([0, 1], [None, 1]) or (ends[0] in (0, None) and sum(firsts) == len(readers))


def _is_pixels(node: ir.Node) -> bool:
    """Whether a QuantizeLinear makes pixels of what are pixels but for their type: codes with the scale 1, from 0 on."""
    scale, zero = (constant(part) for part in (*node.inputs[1:], None, None)[:2])
    one = scale is not None and scale.size == 1 and float(scale.reshape(-1)[0]) == 1
    return one and (zero is None or (zero.dtype == np.uint8 and not zero.any()))


def _expect_real(node: ir.Node, kind: ir.DataType | None) -> None:
    """ModelError for arithmetic of integers that is not that of real numbers."""
    if (
        kind is None
        or not kind.is_integer()
        or node.op_type == "DequantizeLinear"
        or (kind in WIDE and node.op_type != "Div")
    ):
        return
    raise ModelError(
        f"the node {node.name!r} ({node.op_type}) computes in {kind.name}, which wraps around or cuts off; "
        "expected a Cast to FLOAT in front of it"
    )


def _reader(value: ir.Value) -> ir.Node | None:
    readers = [use.node for use in value.uses() if not _asks_for_batch(use.node)]
    node = readers[0] if len(readers) == 1 else None
    known = ("Transpose", "Cast", "Identity", "Sub", "Add", "Mul", "Div", "DequantizeLinear", "QuantizeLinear")
    return node if node is not None and node.op_type in known and not node.outputs[0].is_graph_output() else None


def _changed(
    node: ir.Node, value: ir.Value, gain: Numbers, shift: Numbers, planes: bool, channels: int | None
) -> tuple[Numbers, Numbers] | None:
    """Gain and shift behind a sum or product with one constant a channel; None where it is something else."""
    if node.op_type == "DequantizeLinear":
        scale, zero = (constant(part) for part in (*node.inputs[1:], None, None)[:2])
        if (
            scale is None
            or scale.size != 1
            or (zero is None and len(node.inputs) > 2)
            or (zero is not None and zero.size != 1)
        ):
            return None
        less = 0.0 if zero is None else float(zero.reshape(-1)[0])
        return gain * float(scale.reshape(-1)[0]), (shift - less) * float(scale.reshape(-1)[0])
    if node.op_type not in ("Sub", "Add", "Mul", "Div") or (
        node.op_type in ("Sub", "Div") and node.inputs[0] is not value
    ):
        return None
    other = _per_channel(constant(node.inputs[1] if node.inputs[0] is value else node.inputs[0]), planes, channels)
    if other is None:
        return None
    if node.op_type in ("Sub", "Add"):
        return gain, shift + (other if node.op_type == "Add" else -other)
    if not (np.isfinite(other).all() and (other > 0).all()):
        return None
    return (gain * other, shift * other) if node.op_type == "Mul" else (gain / other, shift / other)


def _per_channel(found: npt.NDArray[Any] | None, planes: bool, channels: int | None) -> Numbers | None:
    if found is None:
        return None
    axis = 1 if planes else 3
    shape = (1,) * (4 - found.ndim) + found.shape
    if (
        len(shape) > 4
        or any(size != 1 for i, size in enumerate(shape) if i != axis)
        or shape[axis] not in (1, channels)
    ):
        return None
    return found.reshape(-1).astype(np.float64)
