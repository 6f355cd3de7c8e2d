"""`levels`: the bits of every grey level, written out. What an encoder from outside this package becomes in an artifact.

levels:BASE:WEIGHTS:BITS:NAME     weights[k] separated by commas; BITS: bit k of level p at p * K + k, base64; NAME: whose
"""

import base64
import binascii
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.errors import PluginError
from bitwright.images.encoders.encoder import Bits, Encoder, Pointwise

MOST_PLANES = 255


@dataclass(frozen=True)
class Levels(Pointwise):
    base: float = 0.0
    weights: tuple[float, ...] = ()
    packed: bytes = b""
    """The bits of the 256 levels, [256, K], eight in a byte, the first in the most significant place."""
    source: str = ""
    """The encoder that this was made of, for people."""

    name = "levels"
    usage = "levels:BASE:WEIGHTS:BITS:NAME"

    @staticmethod
    def read(option: str | None) -> "Levels":
        fields = (option or "").split(":", 3)
        try:
            base, text, bits, source = fields
            weights = tuple(map(float, text.split(",")))
            found = Levels(float(base), weights, base64.b64decode(bits, validate=True), source)
        except (ValueError, binascii.Error):
            raise ValueError("a base, weights, bits in base64 and a name") from None
        planes = len(weights)
        if not (math.isfinite(found.base) and all(0 < w < math.inf for w in weights) and planes <= MOST_PLANES):
            raise ValueError(f"a finite base and 1 to {MOST_PLANES} weights above 0")
        if len(found.packed) != 32 * planes:
            raise ValueError(f"the bits of 256 levels, {32 * planes} bytes for {planes} weights")
        if str(found) != f"{Levels.name}:{option}":
            raise ValueError("each of these in its shortest form")
        return found

    @staticmethod
    def of(encoder: Encoder, source: str) -> "Levels":
        """The same encoder, written out; PluginError where it does not look at each pixel alone, or gives no bits."""
        where = f"the encoder {source!r}"
        if not isinstance(encoder, Pointwise):
            raise PluginError(
                f"{where}: expected a bitwright.images.encoders.Pointwise, whose bits depend on one pixel alone, found "
                f"{type(encoder).__name__}: an artifact holds its table of 256 levels, and runs none of its code"
            )
        weights = tuple(float(w) for w in encoder.weights)
        bits = np.asarray(encoder.of_levels(np.arange(256)))
        if bits.shape != (256, len(weights)) or bits.dtype != np.uint8 or not set(np.unique(bits)) <= {0, 1}:
            raise PluginError(
                f"{where}: expected bits 0 and 1, uint8 [256, {len(weights)}], a column for each of its weights, from "
                f"of_levels; found {bits.dtype} {list(bits.shape)}"
            )
        found = Levels(float(encoder.base), weights, np.packbits(bits).tobytes(), source)
        try:
            return Levels.read(str(found).partition(":")[2])
        except ValueError as error:
            raise PluginError(f"{where}: expected {error}; found base {found.base}, weights {weights}") from error

    def __str__(self) -> str:
        weights = ",".join(map(repr, self.weights))
        return f"levels:{self.base!r}:{weights}:{base64.b64encode(self.packed).decode()}:{self.source}"

    def of_levels(self, levels: npt.NDArray[np.integer[Any]]) -> Bits:
        table = np.unpackbits(np.frombuffer(self.packed, np.uint8)).reshape(256, -1)
        return np.take(table, levels, axis=0)
