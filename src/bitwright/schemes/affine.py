"""Evenly spaced values: `int2`..`int8` (symmetric, for weights) and `uint2`..`uint8` (with a zero point, for activations).

real = scale * (code - zero_point). Signed codes leave out the lowest one (int8 is never -128), so that the range is symmetric.
"""

import numpy as np
import numpy.typing as npt

from bitwright.schemes import bitstream
from bitwright.schemes.scheme import Scheme


class Affine(Scheme):
    """Codes of `bits` bits, signed and symmetric or unsigned."""

    def __init__(self, bits: int, *, signed: bool) -> None:
        self.bits = self.width = bits
        self.weights, self.activations = signed, not signed
        self.name = f"{'int' if signed else 'uint'}{bits}"
        self.hi = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
        self.lo = -self.hi if signed else 0

    def packed_bytes(self, count: int) -> int:
        return (count * self.width + 7) // 8

    def pack(self, codes: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
        raw = np.ascontiguousarray(codes, self.dtype).reshape(-1).view(np.uint8)
        return raw.copy() if self.width == 8 else bitstream.write(raw, self.width)

    def unpack(self, packed: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.generic]:
        self.expect_length(packed, count)
        raw = packed.copy() if self.width == 8 else bitstream.read(packed, self.width, count)
        if not self.weights:
            return raw
        shift = 8 - self.width
        codes: npt.NDArray[np.int8] = (raw << shift).view(np.int8) >> shift if shift else raw.view(np.int8)
        if not self.holds(codes):
            raise ValueError(f"a code is {int(codes.min())}, below the least {self.name} code {self.lo}")
        return codes
