"""`ternary`: -1, 0 and +1, for weights; five in a byte on disk, 1.6 bits each.

    byte = sum over i < 5 of (number_i mod 3) * 3**i       at most 242; zeros behind the last number
number = 0 where |w| <= scale / 2, else the sign. The scale is the one of least squared error: the mean of the k largest |w|
of the output channel, for the best k. Li et al. 2016, "Ternary Weight Networks", whose threshold of 0.7 * mean |w|
approximates that minimum; here it is found by sorting.
"""

import numpy as np
import numpy.typing as npt

from bitwright.schemes.scheme import Scheme, best_of_largest

PER_BYTE = 5
PLACES = 3 ** np.arange(PER_BYTE)


class Ternary(Scheme):
    name = "ternary"
    bits = 8 / PER_BYTE
    lo, hi = -1, 1
    weights, activations = True, False

    def weight_scale(self, weight: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return best_of_largest(np.abs(weight))

    def packed_bytes(self, count: int) -> int:
        return -(-count // PER_BYTE)

    def pack(self, codes: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
        digits = np.zeros(self.packed_bytes(codes.size) * PER_BYTE, np.int64)
        digits[: codes.size] = np.asarray(codes, np.int64).reshape(-1) % 3
        return (digits.reshape(-1, PER_BYTE) @ PLACES).astype(np.uint8)

    def unpack(self, packed: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.generic]:
        self.expect_length(packed, count)
        if packed.size and int(packed.max()) >= 3**PER_BYTE:
            raise ValueError(f"a byte is {int(packed.max())}; five {self.name} codes make at most {3**PER_BYTE - 1}")
        digits = (packed[:, None] // PLACES.astype(np.uint8) % np.uint8(3)).view(np.int8).reshape(-1)
        if digits[count:].any():
            raise ValueError(f"the padding behind {count} {self.name} codes is not zero")
        digits[digits == 2] = -1
        return digits[:count]
