"""A folder of images without classes: enough to calibrate on or to classify."""

import os
from pathlib import Path

from bitwright.errors import SourceError
from bitwright.images.decode import SUFFIXES
from bitwright.images.sources.readers import FileReader
from bitwright.images.sources.source import ImageSource


def accepts(spec: str) -> bool:
    return os.path.isdir(spec)


def open_flat_folder(spec: str) -> ImageSource:
    """Open the image files in the folder, sorted by name; other files are passed over.

    Raises:
        SourceError: there are none, or the folder can't be listed.
    """
    try:
        paths = sorted(path for path in Path(spec).iterdir() if path.suffix.lower() in SUFFIXES)
    except OSError as error:
        raise SourceError(f"{spec}: cannot list the folder: {error}") from error
    return ImageSource(FileReader([path for path in paths if not path.name.startswith(".")]), where=spec)
