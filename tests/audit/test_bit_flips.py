"""Flips of single bits of the weights: each one's change by hand, what is reported beside the reference, the worst of all."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn

import bitwright as bw
from bitwright.audit.bit_flip_records import BitFlips
from bitwright.audit.bit_flips import Candidate, Units, at_random, candidates
from bitwright.audit.examine import Effort, examine
from bitwright.errors import BitwrightError
from bitwright.images.sources import ImageSource
from bitwright.images.sources.readers import ArrayReader
from bitwright.prediction import classes_of
from bitwright.schemes import SCHEMES

PRE = bw.Preprocess(size=6, mean=0.5, std=0.25)
WEIGHTS = [name for name, scheme in SCHEMES.items() if scheme.weights]


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_bits_guess_is_what_its_flip_changes_in_the_packed_bytes(name: str):
    scheme, rng = SCHEMES[name], np.random.default_rng(3)
    codes = rng.choice(np.arange(scheme.lo, scheme.hi + 1, scheme.step), 23).astype(np.int8)
    gradient = rng.normal(size=23)
    found = Units.of(name).guesses(codes, gradient).reshape(-1)
    packed = scheme.pack(codes)
    for place in range(found.size):
        flipped = packed.copy()
        flipped[place // 8] ^= np.uint8(1 << place % 8)
        try:
            change = float(gradient @ (scheme.unpack(flipped, 23).astype(float) - codes))
        except ValueError:
            change = -np.inf
        assert found[place] == pytest.approx(change), place


def test_the_greatest_guesses_of_each_layer_are_tried_and_none_that_no_reader_takes():
    guesses = {"a": np.array([[5.0, -np.inf], [4.0, 3.0], [2.0, 1.0]]), "b": np.array([[0.1, -0.5]])}
    found = candidates(guesses)
    assert [(each.layer, each.place) for each in found] == [
        ("a", 0),
        ("a", 2),
        ("a", 3),
        ("a", 4),
        ("a", 5),
        ("b", 0),
        ("b", 1),
    ]
    drawn = {(each.layer, each.place) for each in at_random(guesses, seed=0)}
    assert drawn == {(each.layer, each.place) for each in found}


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(x).relu().mean((2, 3)))


def audited(weights: str, seconds: float = 120.0) -> tuple[bw.Artifact, np.ndarray, BitFlips]:
    """A small network's artifact, the pictures it was judged on, and its flips."""
    rng = np.random.default_rng(0)
    shades = rng.integers(0, 256, (48, 1, 1, 3))
    pixels = np.clip(shades + rng.integers(-60, 60, (48, 6, 6, 3)), 0, 255).astype(np.uint8)
    net = Small().eval()
    recipe = bw.Recipe(weights=weights, range="minmax", algorithms=())
    artifact = bw.quantize(net, pixels, preprocess=PRE, recipe=recipe)
    effort = Effort(images=48, layer_images=48, seconds=seconds, timed=False)
    source = ImageSource(ArrayReader(pixels, "noise"), "noise")
    found = examine(artifact, net, source, preprocess=PRE, parts=("bit_flips",), effort=effort).bit_flips
    assert found is not None
    return artifact, pixels, found


def logits(artifact: bw.Artifact, pixels: np.ndarray) -> np.ndarray:
    return bw.Engine(artifact, backend="reference")(pixels)


@pytest.mark.parametrize("weights", ["int4", "ternary"])
def test_what_is_reported_is_what_the_reference_gives_and_no_flip_is_worse(weights: str):
    artifact, pixels, found = audited(weights)
    before = classes_of(logits(artifact, pixels))
    changed = {}
    for name in ("conv", "fc"):
        size = SCHEMES[artifact.graph[name].attrs["weights"]].pack(artifact.graph[name].tensors["weight"]).size
        for place in range(8 * size):
            try:
                flipped = Candidate(name, place, 0.0).flipped(artifact)
            except (BitwrightError, ValueError):
                continue
            changed[name, place // 8, place % 8] = 100 * float((classes_of(logits(flipped, pixels)) != before).mean())
    assert len(changed) == found.bits
    assert found.images == 48
    assert found.tried == found.of >= 50
    assert [flip.changed for flip in found.flips] == sorted((flip.changed for flip in found.flips), reverse=True)
    for flip in found.flips:
        assert flip.changed == changed[flip.key]
        assert artifact.graph[flip.layer].tensors["weight"][flip.weight] == flip.before != flip.after
    assert found.flips[0].changed == max(changed.values()) > 0
    assert found.random_worst is not None
    assert found.random_mean is not None
    assert 0 <= found.random_mean <= found.random_worst <= found.flips[0].changed


def test_no_time_means_no_flip_and_no_figure():
    _, _, found = audited("int8", seconds=0.0)
    assert (found.tried, found.flips, found.random, found.random_mean) == (0, (), 0, None)
    assert found.of > 0


def test_audits_of_before_are_still_read():
    from bitwright.audit.records import Audit
    from tests.audit.sample import AUDIT

    old = {key: value for key, value in AUDIT.to_json().items() if key != "bit_flips"}
    assert Audit.from_json(old) == replace(AUDIT, bit_flips=None)
