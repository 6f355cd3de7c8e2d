"""Corruptions: what each does to pixels, by hand; all of them get worse from strength to strength."""

import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from bitwright.audit.corruptions import CORRUPTIONS, blur, brightness, jpeg, noise

Pixels = npt.NDArray[np.uint8]


@pytest.fixture
def pictures() -> Pixels:
    """Smooth waves of colour, with an edge."""
    y, x = np.mgrid[:24, :24]
    waves = [128 + 100 * np.sin(x / k + y / 5) for k in (2, 3, 4)]
    found = np.stack([np.stack(waves, axis=-1)] * 2)
    found[1, :, 12:] = 20
    return found.astype(np.uint8)


def test_brightness_is_added_and_stays_below_white():
    assert brightness(np.array([[[[0, 100, 230]]]], np.uint8), 32).tolist() == [[[[32, 132, 255]]]]


def test_noise_has_its_standard_deviation_and_is_the_same_each_time():
    grey = np.full((1, 200, 200, 1), 128, np.uint8)
    found = noise(grey, 16)
    assert float(found.astype(float).std()) == pytest.approx(16, rel=0.02)
    assert float(found.mean()) == pytest.approx(128, abs=0.3)
    assert (noise(grey, 16) == found).all()


def test_a_blur_leaves_a_plain_picture_and_spreads_a_point():
    plain = np.full((1, 9, 9, 3), 77, np.uint8)
    assert (blur(plain, 2) == plain).all()
    point = np.zeros((1, 15, 15, 1), np.uint8)
    point[0, 7, 7] = 255
    found = blur(point, 1).astype(int)
    assert found[0, 7, 7] == pytest.approx(255 / (2 * np.pi), rel=0.2)  # the peak of a Gaussian of sigma 1
    assert found.sum() == pytest.approx(255, rel=0.15)


def test_a_jpeg_is_what_pillow_reads_back(pictures: Pixels):
    file = io.BytesIO()
    Image.fromarray(pictures[1]).save(file, "JPEG", quality=25)
    assert (jpeg(pictures, 25)[1] == np.asarray(Image.open(file))).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", CORRUPTIONS, ids=lambda kind: kind.name)
def test_each_strength_is_worse_than_the_one_before(kind, channels: int, pictures: Pixels):
    pixels = pictures[..., :channels]
    changed = [kind.apply(pixels, setting) for setting in kind.settings]
    assert all(each.shape == pixels.shape and each.dtype == np.uint8 for each in changed)
    far = [np.abs(each.astype(int) - pixels).mean() for each in changed]
    assert 0 < far[0] < far[1] < far[2]
