"""Evenly spaced values: `int2`..`int8` (symmetric, for weights) and `uint2`..`uint8` (with a zero point, for activations).

real = scale * (code - zero_point). Signed codes leave out the lowest one (int8 is never -128), so that the range is symmetric.
"""

import numpy as np
import numpy.typing as npt

from bitwright.schemes.scheme import Scheme


class Affine(Scheme):
    """Codes of `bits` bits, signed and symmetric or unsigned."""

    def __init__(self, bits: int, *, signed: bool) -> None:
        self.bits = bits
        self.signed = signed
        self.name = f"{'int' if signed else 'uint'}{bits}"
        self.hi = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
        self.lo = -self.hi if signed else 0

    def pack(self, codes: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
        raw = np.ascontiguousarray(codes, self.dtype).reshape(-1).view(np.uint8)
        if self.bits == 8:
            return raw.copy()
        bits = np.unpackbits(raw[:, None], axis=1, bitorder="little")[:, : self.bits]
        return np.packbits(bits.reshape(-1), bitorder="little")

    def unpack(self, packed: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.generic]:
        if packed.size != self.packed_bytes(count):
            raise ValueError(f"{count} {self.name} codes take {self.packed_bytes(count)} bytes, found {packed.size}")
        if self.bits == 8:
            codes: npt.NDArray[np.generic] = packed.view(self.dtype).copy()
        else:
            used = count * self.bits
            bits = np.unpackbits(packed, bitorder="little")
            if bits[used:].any():
                raise ValueError(f"the padding bits behind {count} {self.name} codes are not zero")
            raw = np.packbits(bits[:used].reshape(count, self.bits), axis=1, bitorder="little").reshape(-1)
            if self.signed:
                shift = 8 - self.bits
                codes = (raw << shift).view(np.int8) >> shift
            else:
                codes = raw
        if self.signed and codes.size and int(codes.min()) < self.lo:
            raise ValueError(f"a code is {int(codes.min())}, below the least {self.name} code {self.lo}")
        return codes
