"""From an accumulator to codes or float32: the definition shared by every op that has one.

    t = f32(acc) * m[c];  t = t + b[c];  t = t + f32(r - r_zp) * m_r        each arrow rounds once to float32
    code = clip(rint(t), lo, hi)                                            rint rounds half to even

`b` holds the zero point of the output, over its step. relu and relu6 are `lo` and `hi`.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.errors import GraphError
from bitwright.graph import Node, Value
from bitwright.ops.op import Array, codes_of, float32, integer

Codes = tuple[Array, Value]
"""Codes [N, ...] of a value, and what is known of it."""
BOUNDS = {"lo": integer(0, 255), "hi": integer(0, 255)}


def has_batch_norm(node: Node) -> bool:
    """Whether a float node ends in a batch norm: it is one, or one was fused into it."""
    return "bn_mean" in node.tensors


def centred(codes: Array, value: Value, dtype: type[np.floating[Any]]) -> Array:
    """step * code - zero_point of a value's codes, as a float type in which it is exact."""
    type_ = codes_of(value)
    numbers: Array = codes.astype(dtype) * dtype(type_.step)
    return numbers - np.asarray(type_.zero_point, dtype).reshape(value.column if type_.per_channel else ())


def store(t: npt.NDArray[np.float32], node: Node, output: Value) -> Array:
    """Round and clip to codes; or leave float32 when that is the output."""
    if output.type is None:
        return t
    return np.clip(np.rint(t), np.float32(node.attrs["lo"]), np.float32(node.attrs["hi"])).astype(np.uint8)


def per_channel(acc: Array, node: Node, output: Value, residual: Codes | None = None) -> Array:
    """The epilogue of conv2d, linear and batch_norm: of acc [N, ...]."""
    t = acc.astype(np.float32) * node.tensors["m"].reshape(output.column)
    t += node.tensors["b"].reshape(output.column)
    return finish(t, node, output, residual)


def finish(t: Array, node: Node, output: Value, residual: Codes | None) -> Array:
    """Finish an epilogue after m and b: add the residual if there is one, then store codes or float32."""
    if residual is not None:
        t = t + centred(*residual, np.float32) * node.tensors["m_r"]
    return store(t, node, output)


def with_zero_point(t: npt.NDArray[np.float32], output: Value) -> npt.NDArray[np.float32]:
    """t + zero_point / step for ops whose tensors do not already hold it; t itself when the output is float32."""
    return t if output.type is None else np.asarray(t + np.float32(output.type.one_shift))


def check_bounds(node: Node, output: Value, where: str) -> None:
    """Raise GraphError unless 0 <= lo <= hi <= the greatest code of the output."""
    greatest = 255 if output.type is None else output.type.codes.hi
    if not node.attrs["lo"] <= node.attrs["hi"] <= greatest:
        raise GraphError(f"{where}: expected 0 <= lo <= hi <= {greatest}, found {node.attrs['lo']}, {node.attrs['hi']}")


def bounds(node: Node, output: Value) -> dict[str, int]:
    """lo and hi for the fused `clamp` attribute (lo, hi) of a float node; None stands for no bound."""
    if output.type is None:
        if "clamp" in node.attrs:
            raise GraphError(f"node {node.name!r} ({node.op}): a float32 result cannot be clamped")
        return {"lo": 0, "hi": 255}
    codes = output.type.codes
    limits = [0, codes.hi]
    for side, limit in enumerate(node.attrs.get("clamp", (None, None))):
        if limit is not None:
            code = np.rint(np.float64(limit) / output.type.one_unit + output.type.one_shift)
            limits[side] = int(np.clip(code, 0, codes.hi))
    return {"lo": limits[0], "hi": limits[1]}


def out_unit(output: Value) -> float:
    """scale * step of the output; 1 when it is float32."""
    return 1.0 if output.type is None else output.type.one_unit


def channel_affine(node: Node, channels: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(gain, shift) per channel of a bias and a batch norm: y = gain * acc + shift, as float64 [channels]."""
    t = {key: np.asarray(value, np.float64) for key, value in node.tensors.items()}
    shift = t.get("bias", np.zeros(channels))
    if not has_batch_norm(node):
        return np.ones(channels), shift
    gain = t["bn_weight"] / np.sqrt(t["bn_var"] + node.attrs["eps"])
    return gain, t["bn_bias"] + (shift - t["bn_mean"]) * gain


def multipliers(
    gain: npt.NDArray[np.float64], shift: npt.NDArray[np.float64], output: Value, residual: Value | None = None
) -> dict[str, npt.NDArray[np.float32]]:
    """m, b (and m_r with a residual) for real = gain * acc + shift."""
    unit = out_unit(output)
    zero = 0.0 if output.type is None else output.type.one_shift
    tensors = {"m": float32(gain / unit), "b": float32(shift / unit + zero)}
    if residual is not None:
        tensors["m_r"] = float32(codes_of(residual).one_scale / unit)
    return tensors
