"""A pattern such as 'photos/*.jpg' or 'photos/**/*.png': the image files that it matches, without labels."""

import glob
import os
from pathlib import Path

from bitwright.errors import SourceError
from bitwright.images.decode import SUFFIXES
from bitwright.images.sources.readers import FileReader
from bitwright.images.sources.source import ImageSource


def accepts(spec: str) -> bool:
    return glob.has_magic(spec) and not os.path.exists(spec)


def open_pattern(spec: str) -> ImageSource:
    """Open the image files that match, sorted by path; `**` stands for folders at any depth. Other files are passed over.

    Raises:
        SourceError: no image file matches.
    """
    found = [Path(path) for path in glob.glob(spec, recursive=True)]
    paths = sorted(path for path in found if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        others = f"none of the {len(found)} files is an image" if found else "nothing"
        raise SourceError(f"{spec}: expected image files that match the pattern, found {others}")
    return ImageSource(FileReader(paths), where=spec)
