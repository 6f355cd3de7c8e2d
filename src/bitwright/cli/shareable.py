"""What an artifact keeps of where its model and its images came from: nothing of the folders of the machine it was made on."""

import re
from pathlib import PurePath

_URI = re.compile(r"\w+://")


def shareable(spec: str) -> str:
    """A file's or a folder's own name, with the slice behind it, for one given by an absolute path or through `..`.

    A path from here on, a URI and a name such as torchvision:resnet18 mean the same elsewhere, and stay. What images and
    weights were is told by the counts and the digests beside these names.
    """
    path = PurePath(spec)
    if _URI.match(spec) or not (path.is_absolute() or ".." in path.parts):
        return spec
    return path.name if path.name not in ("", "..") else "a folder"
