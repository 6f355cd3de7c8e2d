"""How codes stand for real numbers: `QType`, and the two functions between codes and reals."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.errors import GraphError
from bitwright.schemes import SCHEMES, Scheme

SMALLEST_SCALE, LARGEST_SCALE = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class QType:
    """real = scale * (step * code - zero_point) + offset.

    The step belongs to the scheme: 2 for `binary`, whose codes 0 and 1 stand for -1 and +1, else 1. Activations have one
    scale and one zero point. The image has one of each per channel, and an offset: its zero point is the pixel nearest to
    real zero, the offset what is left. Every other value has offset 0.
    """

    scheme: str
    scale: float | tuple[float, ...]
    zero_point: int | tuple[int, ...]
    offset: tuple[float, ...] = ()

    @property
    def codes(self) -> Scheme:
        return SCHEMES[self.scheme]

    @property
    def per_channel(self) -> bool:
        return isinstance(self.zero_point, tuple)

    @property
    def one_scale(self) -> float:
        """The scale of a type that is not per channel."""
        if isinstance(self.scale, tuple):
            raise GraphError(f"expected one scale, found {self.scale}")
        return self.scale

    @property
    def one_zero_point(self) -> int:
        """The zero point of a type that is not per channel."""
        if isinstance(self.zero_point, tuple):
            raise GraphError(f"expected one zero point, found {self.zero_point}")
        return self.zero_point

    @property
    def step(self) -> int:
        """How far apart neighbouring codes are, in scales."""
        return self.codes.step

    @property
    def one_unit(self) -> float:
        """How far apart neighbouring codes are as real numbers, of a type that is not per channel."""
        return self.one_scale * self.step

    @property
    def one_shift(self) -> float:
        """zero_point / step: the place of real zero among the codes, 0.5 for `binary`. code = real / unit + shift."""
        return self.one_zero_point / self.step

    @property
    def reach(self) -> int:
        """The largest |step * code - zero_point|."""
        zero_points = np.atleast_1d(self.zero_point)
        return int(max(self.step * self.codes.hi - zero_points.min(), zero_points.max()))

    def check(self, where: str, channels: int) -> None:
        """Raise GraphError unless scales are finite, positive and normal, and zero points are codes."""
        if self.scheme not in SCHEMES.ours or not self.codes.activations:
            raise GraphError(f"{where}: expected a scheme for activations, found {self.scheme!r}")
        fields = [self.scale, self.zero_point] + ([self.offset] if self.per_channel else [])
        if self.per_channel and not all(isinstance(f, tuple) and len(f) == channels for f in fields):
            raise GraphError(f"{where}: expected {channels} scales, zero points and offsets, found {self}")
        if not self.per_channel and (isinstance(self.scale, tuple) or self.offset):
            raise GraphError(f"{where}: expected one scale and one zero point, found {self}")
        for scale in _listed(self.scale):
            if not SMALLEST_SCALE <= scale <= LARGEST_SCALE:
                raise GraphError(f"{where}: a scale must be finite, positive and normal, found {scale!r}")
        allowed = self.codes.zero_points
        for zero_point in _listed(self.zero_point):
            if zero_point not in allowed:
                raise GraphError(f"{where}: zero point {zero_point} is none that {self.scheme} may have")
        if not all(math.isfinite(o) for o in self.offset):
            raise GraphError(f"{where}: an offset is not finite: {self.offset}")

    def to_json(self) -> dict[str, Any]:
        record = {"scheme": self.scheme, "scale": self.scale, "zero_point": self.zero_point}
        return {**record, "offset": self.offset} if self.offset else record

    @classmethod
    def from_json(cls, record: Any, where: str) -> "QType":
        """Read a JSON object, strictly; GraphError says what is wrong with it."""
        if not isinstance(record, dict) or not _KEYS - {"offset"} <= record.keys() <= _KEYS:
            raise GraphError(f"{where}: expected an object with scheme, scale and zero_point, found {record!r:.200}")
        scheme = _one(record["scheme"], str, where)
        scale = _one_or_many(record["scale"], float, where)
        zero_point = _one_or_many(record["zero_point"], int, where)
        offset = tuple([_one(o, float, where) for o in _one(record.get("offset", []), list, where)])
        return QType(scheme, scale, zero_point, offset) if offset else _without_offset(scheme, scale, zero_point)


_without_offset = lru_cache(QType)
"""Many values have one type, and share it. (Offsets are left out: 0.0 and -0.0 are equal and still two.)"""


def _listed(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


_KEYS = {"scheme", "scale", "zero_point", "offset"}


def _one(value: Any, kind: type, where: str) -> Any:
    if kind is float and type(value) is int and -(2**63) <= value < 2**63:
        value = float(value)
    if type(value) is not kind or (isinstance(value, float) and not math.isfinite(value)):
        raise GraphError(f"{where}: expected {kind.__name__}, found {value!r:.200}")
    return value


def _one_or_many(value: Any, kind: type, where: str) -> Any:
    return tuple([_one(v, kind, where) for v in value]) if isinstance(value, list) else _one(value, kind, where)


TINY = 1e-20
"""A range narrower than this for each step is no range at all: multipliers by its inverse would leave float32."""


def affine_qtype(scheme: str, lo: float, hi: float) -> QType:
    """The QType whose codes cover [lo, hi] and hit zero exactly (`binary`: are equally far from it on both sides).

    The range is widened to contain zero. One of no width gets scale 1, so that the scale is always positive and normal.
    """
    codes = SCHEMES[scheme]
    lo, hi, least = min(float(lo), 0.0), max(float(hi), 0.0), codes.zero_points[0]
    scale = float(np.float32((hi - lo) / (codes.step * codes.hi)))
    if not scale >= TINY:
        return QType(scheme, 1.0, least)
    return QType(scheme, scale, int(np.clip(np.rint(-lo / scale), least, codes.zero_points[-1])))


def to_codes(real: npt.NDArray[np.floating[Any]], qtype: QType) -> npt.NDArray[np.uint8]:
    """The nearest codes of real values [...], for a QType that is not per channel."""
    q = np.rint(np.asarray(real, np.float64) / qtype.one_unit + qtype.one_shift)
    return np.clip(q, 0, qtype.codes.hi).astype(np.uint8)


def to_codes_as_onnx(real: npt.NDArray[np.floating[Any]], qtype: QType) -> npt.NDArray[np.uint8]:
    """The codes that ONNX's QuantizeLinear makes of them: in float32, and the zero point is added behind the rounding."""
    with np.errstate(over="ignore"):
        q = np.rint(np.asarray(real, np.float32) / np.float32(qtype.one_scale)) + np.float32(qtype.one_zero_point)
    codes: npt.NDArray[np.uint8] = np.clip(q, 0, qtype.codes.hi).astype(np.uint8)
    return codes


def to_real(codes: npt.NDArray[np.generic], qtype: QType) -> npt.NDArray[np.float64]:
    """The real values of codes [...], for a QType that is not per channel."""
    return (qtype.step * codes.astype(np.float64) - qtype.one_zero_point) * np.float64(qtype.one_scale)
