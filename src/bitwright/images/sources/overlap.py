"""Whether images of one set are in another: what was fitted on an image says nothing of others by it."""

import hashlib
import os
import warnings

import numpy as np

from bitwright.errors import SourceWarning
from bitwright.images.sources.readers import ArrayReader, SubsetReader
from bitwright.images.sources.source import ImageSource


def warn_of_shared(source: ImageSource, others: ImageSource, used: str) -> None:
    """Give a SourceWarning where images of `others`, which ought to be others, are in `source`, too.

    Files are told by their paths, with links followed, images in arrays by a digest of their pixels: no file is opened.

    Args:
        source: the set that something was made of.
        others: the set that judges it.
        used: what the images of `source` are for, such as "calibrated on".
    """
    known = {_identity(source, i) for i in range(len(source))}
    shared = sum(_identity(others, i) in known for i in range(len(others)))
    if shared:
        warnings.warn(
            f"{others.where}: {shared:,} of {len(others):,} images are {used}, too (in {source.where}), so that what is "
            "measured on them is better than on others; take images that are in one set alone",
            SourceWarning,
            stacklevel=3,
        )


def _identity(source: ImageSource, i: int) -> str | tuple[tuple[int, ...], bytes]:
    reader, place = source.reader, i
    while isinstance(reader, SubsetReader):
        reader, place = reader.within(place)
    if isinstance(reader, ArrayReader):
        pixels = np.ascontiguousarray(reader.read(place))
        return pixels.shape[:2], hashlib.sha256(pixels.data).digest()
    name = reader.name(place)
    return name if "://" in name else os.path.realpath(name)
