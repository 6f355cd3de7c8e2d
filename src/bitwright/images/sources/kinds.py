"""The table of the kinds of image source, and `open_source`, which finds the one that a path or name means."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from bitwright.errors import SourceError
from bitwright.images.sources import class_folders, csv_manifest, digits, flat_folder, idx, image_file, npz, pattern
from bitwright.images.sources.slices import split_slice
from bitwright.images.sources.source import ImageSource


@dataclass(frozen=True)
class Kind:
    """One kind of source: what it looks like, whether a spec is one, and how to open it."""

    looks_like: str
    accepts: Callable[[str], bool]
    open: Callable[[str], ImageSource]


KINDS = (
    Kind("the word digits (scikit-learn's handwritten digits)", digits.accepts, digits.open_digits),
    Kind("a folder with one folder per class", class_folders.accepts, class_folders.open_class_folders),
    Kind("a folder of images", flat_folder.accepts, flat_folder.open_flat_folder),
    Kind("a .csv with the columns path and label", csv_manifest.accepts, csv_manifest.open_csv_manifest),
    Kind("a .npz with images and labels", npz.accepts, npz.open_npz),
    Kind("an IDX file such as train-images-idx3-ubyte.gz", idx.accepts, idx.open_idx),
    Kind("an image file", image_file.accepts, image_file.open_image_file),
    Kind("a pattern of image files, such as 'photos/*.jpg'", pattern.accepts, pattern.open_pattern),
)


def open_source(spec: str | Path) -> ImageSource:
    """Open a set of images; nothing is decoded yet.

    `spec` is one of KINDS, perhaps followed by slices, each of what the one before it left: `data.csv[::5]` is every
    fifth image, `data.csv[!::5]` all the others, `data.npz[!::5][:1000]` the first thousand of those.

    Raises:
        SourceError: there is no such file, no kind fits it, or it is damaged.
        MissingExtraError: the kind needs a package that is not installed.
    """
    text = str(spec)
    if not os.path.exists(text) and (parts := split_slice(text)):
        base, part = parts
        source = open_source(base)
        return source.sliced(part.positions(len(source), text), text.removeprefix(base))
    for kind in KINDS:
        if kind.accepts(text):
            return kind.open(text)
    found = "a file of no known kind" if os.path.exists(text) else "no such file or folder"
    expected = "\n  ".join(kind.looks_like for kind in KINDS)
    raise SourceError(f"{text}: {found}; expected one of:\n  {expected}")


def as_source(given: Any) -> ImageSource:
    """An image source as it is, or the one that a path or name means. SourceError for anything else, arrays among it."""
    if isinstance(given, ImageSource):
        return given
    if isinstance(given, str | PathLike):
        return open_source(os.fsdecode(given))
    raise SourceError(
        f"expected images as bitwright.open_source(...) gives them, or the path that it takes, found {given!r:.80}; arrays of "
        "images go into a .npz first: numpy.savez('set.npz', images=..., labels=...)"
    )
