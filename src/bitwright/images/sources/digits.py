"""scikit-learn's handwritten digits: 1797 grey pictures of 8 x 8, real data that needs no download."""

import importlib

import numpy as np

from bitwright.errors import MissingExtraError
from bitwright.images.sources.readers import ArrayReader
from bitwright.images.sources.source import ImageSource


def accepts(spec: str) -> bool:
    return spec == "digits"


def open_digits(spec: str) -> ImageSource:
    """Open the digits, their levels 0..16 scaled to 0..255: round(255 v / 16).

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        datasets = importlib.import_module("sklearn.datasets")
    except ModuleNotFoundError as error:
        raise MissingExtraError("sklearn", "digits") from error
    digits = datasets.load_digits()
    images = np.rint(np.asarray(digits.images, np.float64) * 255 / 16).astype(np.uint8)
    classes = tuple(str(name) for name in digits.target_names)
    return ImageSource(ArrayReader(images, spec), spec, np.asarray(digits.target, np.int64), classes)
