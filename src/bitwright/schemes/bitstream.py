"""Codes of equal width in a row of bytes: code after code, least significant bit first, zeros behind the last."""

import numpy as np
import numpy.typing as npt


def write(raw: npt.NDArray[np.uint8], width: int) -> npt.NDArray[np.uint8]:
    """The low `width` bits of each byte [N], side by side."""
    bits = np.unpackbits(raw[:, None], axis=1, bitorder="little")[:, :width]
    return np.packbits(bits.reshape(-1), bitorder="little")


def read(packed: npt.NDArray[np.uint8], width: int, count: int) -> npt.NDArray[np.uint8]:
    """Invert `write`: [count] bytes. ValueError where the padding bits are not zero."""
    used = count * width
    bits = np.unpackbits(packed, bitorder="little")
    if bits[used:].any():
        raise ValueError(f"the padding bits behind {count} codes of {width} bits are not zero")
    if width == 1:
        return bits[:used]
    return np.packbits(bits[:used].reshape(count, width), axis=1, bitorder="little").reshape(-1)
