"""An artifact, and outcomes with known counts."""

import numpy as np
import pytest

from bitwright.artifact import Artifact
from bitwright.gates import Outcomes
from bitwright.gates.outcomes import Answers
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources import ImageSource
from bitwright.images.sources.readers import ArrayReader
from bitwright.quantization import quantize
from tests.cli.conftest import COLOURS, FACTORY


@pytest.fixture(scope="package")
def net():
    """A float model that tells blue, green and red apart."""
    space: dict = {}
    exec(FACTORY, space)
    return space["net"]().eval()


@pytest.fixture(scope="package")
def artifact(net) -> Artifact:
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), np.uint8)
    return quantize(net, images, preprocess=Preprocess(size=8)).with_classes(list(COLOURS))


def counted(*, images: int, lost: int, gained: int, labelled: bool = True) -> Outcomes:
    """Three classes in turn, blue, green and red. The integer model loses `lost` images of blue; the float model has all but
    `gained` images of green right."""
    labels = np.arange(images) % 3
    integer, float_ = labels.copy(), labels.copy()
    integer[np.flatnonzero(labels == 0)[:lost]] = 2
    float_[np.flatnonzero(labels == 1)[:gained]] = 2
    sure = np.full(images, 0.9)
    return Outcomes(
        black(images),
        tuple(COLOURS),
        np.arange(images),
        labels if labelled else None,
        Answers(integer, sure),
        Answers(float_, sure),
        {},
        (),
    )


def black(images: int) -> ImageSource:
    """So many images of one black pixel."""
    return ImageSource(ArrayReader(np.zeros((images, 1, 1, 3), np.uint8), "black"), "black")
