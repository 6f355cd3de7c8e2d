"""Logits are, to the byte, what they were when `pinned.json` was written: a change of arithmetic cannot go unseen.

All other tests compare implementations of today with each other: where the reference, PyTorch and the engine changed together,
or a file were read in another way, they would all agree on other numbers. Who changes arithmetic on purpose says so in
`docs/arithmetic.md` and in the changelog, and renews the bytes by `python -m tests.pinned`; artifacts of users give other
logits then, so their format has to change as well. Nothing here may differ between machines (see `tests/pinned.py`).
"""

import json

import numpy as np
import pytest

from tests.pinned import IMAGES, KEPT, NAMES, artifact, images, logits, network_digest, pinned

EXPECTED = json.loads(KEPT.read_text())


def test_every_network_is_pinned() -> None:
    assert list(EXPECTED) == list(NAMES)
    assert len({found["logits"] for found in EXPECTED.values()}) == len(NAMES) >= 9


@pytest.mark.parametrize("name", NAMES)
def test_the_logits_are_those_of_before(name: str) -> None:
    found = pinned(name)
    assert found["network"] == EXPECTED[name]["network"], "this is another network, whatever its logits are"
    assert found["logits"] == EXPECTED[name]["logits"], "the arithmetic has changed: see the top of this file"


@pytest.mark.parametrize("name", NAMES)
def test_they_tell_something(name: str) -> None:
    """They differ from image to image and from class to class, and the reference gives the same."""
    found = logits(name)
    assert found.shape == (IMAGES, 10)
    assert len(np.unique(found)) > 20
    assert all(len(np.unique(column)) > 1 for column in found.T)
    if not name.endswith(".safetensors"):
        assert logits(name, "reference").tobytes() == found.tobytes()


def test_a_changed_number_is_seen() -> None:
    """The hashes of the network and of its logits."""
    made, name = artifact("plain"), "plain"
    node = next(node for node in made.graph.nodes if node.op == "conv2d")
    node.tensors["b"][0] += np.float32(1.0)
    assert network_digest(made) != EXPECTED[name]["network"]
    assert images(name, made.preprocess.shape).std() > 50
