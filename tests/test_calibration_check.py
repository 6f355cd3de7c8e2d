"""Images that are unfit to calibrate on are said to be that; images that are fit are not."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import bitwright as bw
from bitwright.calibration_check import Seen
from bitwright.errors import CalibrationWarning


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 6, 6, 3), np.uint8)


def findings(*batches: np.ndarray) -> list[str]:
    return seen_of(*batches).findings()


def seen_of(*batches: np.ndarray) -> Seen:
    seen = Seen()
    for batch in batches:
        seen.add(batch, np.arange(seen.images, seen.images + len(batch)))
    return seen


CARDS = np.repeat(np.arange(0, 250, 5, dtype=np.uint8), 108).reshape(50, 6, 6, 3)
NEAR = np.clip(noise(1) // 2 + 60 + noise(40, 1) % 4, 0, 255).astype(np.uint8)
UNFIT = {
    "single": (noise(1), "calibrated on a single image"),
    "copies": (np.repeat(noise(1), 30, 0), "calibrated on 30 copies of a single image"),
    "few": (np.repeat(noise(3), 10, 0), "calibrated on only 3 different images among 30"),
    "nearly equal": (NEAR, "calibrated on 40 nearly equal images: a pixel differs by 1.1"),
    "constant": (CARDS, "images of one colour: 50 of 50"),
    "mostly constant": (np.concatenate([CARDS, noise(20)]), "images of one colour: 50 of 70"),
    "black": (np.zeros((9, 6, 6, 3), np.uint8), "calibrated on images whose pixels are all 0;"),
    "grey": (np.clip(noise(9), 126, 129), "pixels lie between 126 and 129 of 0..255; ranges"),
    "scaled": (noise(30) // 128, "pixels lie between 0 and 1 of 0..255: was something scaled to 0..1"),
}


@pytest.mark.parametrize("name", UNFIT)
@pytest.mark.parametrize("cut", [1, 7, 1000])
def test_what_is_unfit_is_said_however_it_is_cut(name: str, cut: int):
    images, said = UNFIT[name]
    found = findings(*(images[i : i + cut] for i in range(0, len(images), cut)))
    assert any(said in text for text in found), found
    assert found == findings(images)


def test_what_is_fit_is_not():
    yy, xx = np.mgrid[:6, :6]
    ramps = np.stack([np.repeat(((yy * a + xx * b) % 256)[..., None], 3, 2) for a in range(5) for b in range(1, 5)])
    dark_digits = (noise(40) > 200).astype(np.uint8) * 255
    for images in (noise(2), noise(50), noise(50) // 4, ramps.astype(np.uint8), dark_digits):
        assert findings(images) == []
    assert findings(np.concatenate([CARDS[:20], noise(20)])) == []
    assert findings() == []


def test_the_spread_is_that_of_a_pixel_from_image_to_image():
    seen = seen_of(noise(5), noise(8, 1))
    expected = np.sqrt(np.concatenate([noise(5), noise(8, 1)]).astype(np.float64).var(axis=0).mean())
    assert seen.spread == pytest.approx(expected, rel=1e-4)


def quantized(images: np.ndarray) -> dict[str, Any]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, 3))
    return dict(bw.quantize(model, images, preprocess=bw.Preprocess(size=6)).provenance["calibration"])


def test_quantize_warns_and_the_artifact_keeps_it():
    with pytest.warns(CalibrationWarning, match="calibrated on a single image; ranges will fit no other images"):
        record = quantized(noise(1))
    assert record["warnings"] == [
        "calibrated on a single image; ranges will fit no other images: use some hundred varied ones"
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "warnings" not in quantized(noise(40))
