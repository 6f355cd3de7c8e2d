"""The suffix of a spec that selects images: [start:stop:step] as in Python, or [!start:stop:step], all the others."""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitwright.errors import SourceError

_SUFFIX = re.compile(r"(?P<base>.+)\[(?P<others>!?)(?P<slice>[^\[\]]*)\]", re.DOTALL)
_SLICE = re.compile(r"(-?\d{1,18})?:(-?\d{1,18})?(?::(-?\d{1,18})?)?")


@dataclass(frozen=True)
class Selection:
    """The images of a slice or, with `others`, those that are not in it."""

    slice: slice
    others: bool

    def positions(self, length: int, where: str) -> npt.NDArray[np.int64]:
        """Return the selected positions out of 0..length-1, int64; SourceError where there are none."""
        every = np.arange(length, dtype=np.int64)
        selected = np.delete(every, self.slice) if self.others else every[self.slice]
        if selected.size == 0:
            raise SourceError(f"{where}: the slice selects none of {length} images")
        return selected


def split_slice(spec: str) -> tuple[str, Selection] | None:
    """Split the last slice off `spec`; None where it has none.

    Raises:
        SourceError: there is a suffix in brackets, but it is not a slice.
    """
    suffix = _SUFFIX.fullmatch(spec)
    if suffix is None:
        return None
    match = _SLICE.fullmatch(suffix["slice"])
    numbers = [None if text is None else int(text) for text in match.groups()] if match else [None, None, 0]
    if numbers[2] == 0:
        raise SourceError(
            f"{spec}: expected a slice such as [::5], [:1000] or [!::5] (all but every fifth) with a step other than 0; "
            f"found [{suffix['others']}{suffix['slice']}]"
        )
    return suffix["base"], Selection(slice(*numbers), others=bool(suffix["others"]))
