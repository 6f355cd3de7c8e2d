"""A single image file."""

import os
from pathlib import Path

from bitwright.images.decode import SUFFIXES
from bitwright.images.sources.readers import FileReader
from bitwright.images.sources.source import ImageSource


def accepts(spec: str) -> bool:
    return Path(spec).suffix.lower() in SUFFIXES and os.path.isfile(spec)


def open_image_file(spec: str) -> ImageSource:
    """Open one image, without a label; it is read, and found good or bad, later."""
    return ImageSource(FileReader([Path(spec)]), where=spec)
