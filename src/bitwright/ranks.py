"""`Ranks`: processes that share one work, as far as whoever shares it has to know them. Alone is the default.

Every rank calls the same methods in the same order. What they exchange are arrays and bytes; sums are of whole numbers, so
that the result is the same for any number of ranks. `bitwright.scale` has the ranks that torchrun starts.
"""

import json
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import safetensors.numpy

Arrays = dict[str, npt.NDArray[Any]]


class Ranks(Protocol):
    """One of `size` processes that share a work; its own number is `rank`, from 0."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    def sum(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The sum of all ranks' arrays, which have one shape; on every rank."""
        ...

    def largest(self, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The greatest of all ranks' numbers, place by place; on every rank."""
        ...

    def gather(self, mine: bytes) -> list[bytes]:
        """What every rank gives, in their order; on every rank."""
        ...

    def first(self, mine: bytes) -> bytes:
        """What rank 0 gives; on every rank."""
        ...

    def parallel(self, module: Any) -> Any:
        """A torch module that does the same forward; backward makes each gradient the mean of all ranks' gradients."""
        ...


class Alone:
    """The only process."""

    rank, size = 0, 1

    def sum(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """These."""
        return numbers

    def largest(self, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """These."""
        return numbers

    def gather(self, mine: bytes) -> list[bytes]:
        """This."""
        return [mine]

    def first(self, mine: bytes) -> bytes:
        """This."""
        return mine

    def parallel(self, module: Any) -> Any:
        """The module itself."""
        return module


ALONE = Alone()


def share(count: int, block: int, ranks: Ranks) -> npt.NDArray[np.int64]:
    """Which of `count` images are this rank's, int64, ascending: every `size`-th block of neighbours, the last one cut short.

    Each image is one rank's, and a block has the same images for any number of ranks.
    """
    places = np.arange(count, dtype=np.int64)
    mine: npt.NDArray[np.int64] = places[places // block % ranks.size == ranks.rank]
    return mine


def gather_arrays(ranks: Ranks, mine: Mapping[str, npt.NDArray[Any]]) -> list[Arrays]:
    """Every rank's arrays, in the order of the ranks."""
    packed = safetensors.numpy.save({name: np.asarray(array, order="C") for name, array in mine.items()})
    return [safetensors.numpy.load(found) for found in ranks.gather(packed)]


def gather_json(ranks: Ranks, mine: Any) -> list[Any]:
    """Every rank's plain data, in the order of the ranks."""
    return [json.loads(found) for found in ranks.gather(json.dumps(mine).encode())]


def first_json(ranks: Ranks, mine: Any) -> Any:
    """Rank 0's plain data, as JSON leaves it; the thing itself where there is one rank."""
    return mine if ranks.size == 1 else json.loads(ranks.first(json.dumps(mine).encode()))
