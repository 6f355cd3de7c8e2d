"""The table of the kinds of image source, and `open_source`, which finds the one that a path or name means."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from bitwright.errors import PluginError, SourceError
from bitwright.images.sources import class_folders, csv_manifest, digits, flat_folder, idx, image_file, npz, pattern
from bitwright.images.sources.slices import split_slice
from bitwright.images.sources.source import ImageSource
from bitwright.registry import Registry, expect_name


@dataclass(frozen=True)
class Kind:
    """One kind of source: what it looks like, whether a spec is one, and how to open it."""

    name: str
    looks_like: str
    accepts: Callable[[str], bool]
    open: Callable[[str], ImageSource]


def _check(name: str, thing: object) -> Kind:
    if not isinstance(thing, Kind) or not isinstance(thing.looks_like, str):
        raise PluginError(
            f"the source {name!r}: expected a bitwright.images.sources.Kind(name, looks_like, accepts, open), "
            f"found {thing!r:.100}"
        )
    if not callable(thing.accepts) or not callable(thing.open):
        raise PluginError(
            f"the source {name!r}: expected functions of a text as `accepts` and `open`, found {thing!r:.200}"
        )
    expect_name(name, thing, "source")
    return thing


KINDS: Registry[Kind] = Registry(
    "source",
    {
        kind.name: kind
        for kind in (
            Kind("digits", "the word digits (scikit-learn's handwritten digits)", digits.accepts, digits.open_digits),
            Kind(
                "class_folders",
                "a folder with one folder per class",
                class_folders.accepts,
                class_folders.open_class_folders,
            ),
            Kind("flat_folder", "a folder of images", flat_folder.accepts, flat_folder.open_flat_folder),
            Kind(
                "csv_manifest",
                "a .csv with the columns path and label",
                csv_manifest.accepts,
                csv_manifest.open_csv_manifest,
            ),
            Kind("npz", "a .npz with images and labels", npz.accepts, npz.open_npz),
            Kind("idx", "an IDX file such as train-images-idx3-ubyte.gz", idx.accepts, idx.open_idx),
            Kind("image_file", "an image file", image_file.accepts, image_file.open_image_file),
            Kind("pattern", "a pattern of image files, such as 'photos/*.jpg'", pattern.accepts, pattern.open_pattern),
        )
    },
    _check,
    defined_by=lambda kind: getattr(kind, "open", kind),
)
"""The first that accepts a spec opens it; those of other distributions are asked last."""


def is_source(spec: str) -> bool:
    """Whether a kind accepts the spec, which has no slices."""
    return any(kind.accepts(spec) for kind in KINDS.ours.values()) or _foreign(spec)[0] is not None


def open_source(spec: str | Path) -> ImageSource:
    """Open a set of images; nothing is decoded yet.

    `spec` is one of KINDS, perhaps followed by slices, each of what the one before it left: `data.csv[::5]` is every
    fifth image, `data.csv[!::5]` all the others, `data.npz[!::5][:1000]` the first thousand of those.

    Raises:
        SourceError: there is no such file, no kind fits it, or it is damaged.
        MissingExtraError: the kind needs a package that is not installed.
    """
    if not isinstance(spec, str | PathLike):
        raise SourceError(f"expected the path of images, or another source that has a name, found {spec!r:.100}")
    text = str(spec)
    if not os.path.exists(text) and (parts := split_slice(text)):
        base, part = parts
        source = open_source(base)
        return replace(source.sliced(part.positions(len(source), text), text.removeprefix(base)), where=text)
    for kind in KINDS.ours.values():
        if kind.accepts(text):
            return kind.open(text)
    foreign, broken = _foreign(text)
    if foreign is not None:
        return _opened(foreign, text)
    found = "a file of no known kind" if os.path.exists(text) else "no such file or folder"
    expected = "\n  ".join([*(kind.looks_like for kind in KINDS.usable().values()), *broken])
    shown = text if text.isprintable() else repr(text)
    raise SourceError(f"{shown}: {found}; expected one of:\n  {expected}")


def _foreign(spec: str) -> tuple[Kind | None, list[str]]:
    """The kind of another distribution that accepts the spec, if there is one; and what is wrong with those that are broken."""
    broken = []
    for name in KINDS.foreign():
        try:
            kind = KINDS[name]
        except PluginError as error:
            broken.append(f"({error})")
            continue
        if kind.accepts(spec):
            return kind, broken
    return None, broken


def _opened(kind: Kind, spec: str) -> ImageSource:
    source = kind.open(spec)
    if not isinstance(source, ImageSource):
        raise PluginError(f"{KINDS.origin(kind.name)} opened {spec} as {source!r:.100}, expected an ImageSource")
    return replace(source, opened_by=KINDS.origin(kind.name))


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
