"""The audit of a transformer finds the scales of its channels again, and no fault where there is none."""

import numpy as np
import pytest
import torch

from bitwright.audit.matching import matched
from bitwright.capture import captured
from bitwright.quantization import convert
from tests.algorithms.correction.test_tokens import PREPROCESS, encoder, prepared_with, sinking, with_a_sink
from tests.audit import faults


def test_every_scale_is_found_again() -> None:
    prepared = prepared_with("equalize")
    found = matched(captured(encoder(), (3, *PREPROCESS.shape[:2])), convert(prepared))
    scaled = 0
    for node in prepared.graph.nodes:
        wanted, again = prepared.layer(node.name), found.layer(node.name)
        for name in ("equalized", "factors", "reads", "writes", "weight"):
            if hasattr(wanted, name):
                a, b = getattr(wanted, name).detach(), getattr(again, name).detach()
                assert torch.allclose(a, b, rtol=1e-5, atol=1e-6), (node.name, name)
                scaled += int(name == "equalized" and bool((a != 1).any()))
    assert scaled >= 10


def test_a_damaged_multiplier_of_a_summand_is_not_taken_for_a_scale() -> None:
    prepared = prepared_with("equalize")
    artifact = convert(prepared)
    node = next(node for node in artifact.graph.nodes if node.name == "mlps.0.2")
    node.tensors["m"][3] *= np.float32(4)
    found = matched(captured(encoder(), (3, *PREPROCESS.shape[:2])), artifact)
    assert torch.allclose(found.layer("mlps.0.2").equalized, prepared.layer("mlps.0.2").equalized)


@pytest.mark.parametrize("name", ["mlps.0.0", "norms.1"])
def test_scales_of_dead_channels_are_told_by_who_reads_them(name: str) -> None:
    prepared = prepared_with("equalize")
    artifact = faults.dead(convert(prepared), name, slice(3, 9))
    found = matched(captured(encoder(), (3, *PREPROCESS.shape[:2])), artifact)
    wanted = prepared.layer(name).equalized
    assert (wanted[3:9] > 1).any()
    assert torch.allclose(found.layer(name).equalized, wanted)


def test_parts_are_found_again() -> None:
    prepared = with_a_sink()
    found = matched(captured(sinking(), (3, *PREPROCESS.shape[:2])), convert(prepared))
    assert found.parts == prepared.parts
    for node in prepared.graph.nodes:
        for name, tensor in prepared.layer(node.name).tensors().items():
            again = found.layer(node.name).tensors()[name]
            assert torch.allclose(tensor, again, rtol=1e-5, atol=1e-6), (node.name, name)
