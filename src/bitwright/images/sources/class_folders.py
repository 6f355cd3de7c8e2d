"""A folder with one folder per class; the sorted folder names are the classes (torchvision's ImageFolder layout)."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bitwright.errors import SourceError
from bitwright.images.decode import SUFFIXES
from bitwright.images.sources.readers import FileReader
from bitwright.images.sources.source import ImageSource


def accepts(spec: str) -> bool:
    return os.path.isdir(spec) and len(_class_names(spec)) > 0


def open_class_folders(spec: str) -> ImageSource:
    """Open every image file at any depth below each class folder, in sorted order; other files are passed over.

    Raises:
        SourceError: there are no images, some lie outside the class folders, or a folder can't be listed.
    """
    try:
        classes = _class_names(spec)
        images = [sorted(_images_below(Path(spec, name))) for name in classes]
        outside = sum(path.suffix.lower() in SUFFIXES for path in Path(spec).iterdir() if path.is_file())
    except OSError as error:
        raise SourceError(f"{spec}: cannot list the folder: {error}") from error
    if outside or not any(images):
        raise SourceError(
            f"{spec}: expected a folder per class with all images inside; found {sum(map(len, images))} images in "
            f"{len(classes)} folders and {outside} outside; move them, or name a folder of images only"
        )
    labels = np.repeat(np.arange(len(classes), dtype=np.int64), [len(paths) for paths in images])
    return ImageSource(
        FileReader([path for paths in images for path in paths]),
        where=spec,
        labels=labels,
        classes=classes,
    )


def _class_names(root: str) -> tuple[str, ...]:
    _, names, _ = next(os.walk(root), (root, [], []))  # nothing where `root` is no folder that can be listed
    return tuple(sorted(name for name in names if not name.startswith(".")))


def _images_below(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder, onerror=_raise):
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield Path(parent, name)


def _raise(error: OSError) -> None:
    raise error
