"""What a scheme must offer: its codes, and how they lie on disk."""

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt


class Scheme(ABC):
    """A finite set of representable values, addressed by integer codes `lo`..`hi`."""

    name: str
    bits: int
    lo: int
    hi: int
    signed: bool

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The dtype that holds codes in memory: int8 for weights, uint8 for activations."""
        return np.dtype(np.int8 if self.signed else np.uint8)

    @abstractmethod
    def pack(self, codes: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
        """Pack codes of any shape into bytes, `bits` bits each, least significant bit first."""

    @abstractmethod
    def unpack(self, packed: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.generic]:
        """Invert `pack`: return [count] codes. ValueError where a code is not in `lo`..`hi` or the length is wrong."""

    def packed_bytes(self, count: int) -> int:
        """The number of bytes that `count` codes take on disk."""
        return (count * self.bits + 7) // 8
