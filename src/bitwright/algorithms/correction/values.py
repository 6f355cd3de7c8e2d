"""Numbers of many images, in memory as long as there is room, else in a temporary file that the system pages in and out."""

import tempfile
from math import prod

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Rows = slice | npt.NDArray[np.int64]


class Values:
    """An array [N, ...] that batches of rows are written to and read from."""

    def __init__(self, memory: "Memory", shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self._memory = memory
        self._charged = memory.reserve(prod(shape) * np.dtype(dtype).itemsize)
        self._array: npt.NDArray[np.generic]
        if self._charged:
            self._array = np.empty(shape, dtype)
        else:
            with tempfile.TemporaryFile(prefix="bitwright-") as file:  # the mapping outlives it
                self._array = np.memmap(file, dtype, "w+", shape=shape)

    def __len__(self) -> int:
        return len(self._array)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    def __getitem__(self, rows: Rows) -> Tensor:
        """Some rows, which must not be written to."""
        return torch.from_numpy(self._array[rows])

    def __setitem__(self, rows: slice, values: Tensor) -> None:
        self._array[rows] = values.detach().cpu().numpy()

    @property
    def spilled(self) -> bool:
        """Whether the numbers are in a file."""
        return not self._charged

    def close(self) -> None:
        """Return the bytes to the memory."""
        self._memory.free_bytes += self._charged
        self._charged, self._array = 0, self._array[:0].copy()


class Memory:
    """A limit on the bytes that are held at a time; what does not fit goes to files."""

    def __init__(self, limit_bytes: int) -> None:
        self.free_bytes = limit_bytes

    def reserve(self, size_bytes: int) -> int:
        """Reserve bytes; returns how many, or 0 if there is no room."""
        reserved = size_bytes if size_bytes <= self.free_bytes else 0
        self.free_bytes -= reserved
        return reserved

    def values(self, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> Values:
        """Room for an array [N, ...], not initialised."""
        return Values(self, shape, dtype)
