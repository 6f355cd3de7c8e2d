"""`finetune_scales` minimises what its docstring says, by Adam at rates that fall to nothing."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.algorithms.correction import finetune_scales
from bitwright.algorithms.correction.calibration import Calibration
from bitwright.algorithms.correction.finetune_scales import BATCH, RATE, FinetuneScales, Gain
from bitwright.algorithms.correction.learning import run_nodes, weighted
from bitwright.algorithms.correction.values import Memory
from bitwright.graph import INPUT
from bitwright.prepared import PreparedModel
from tests.algorithms.correction.test_reconstruct import IMAGES, made

STEPS = 5


def calibration() -> Calibration:
    memory = Memory(2**20)
    images = memory.values(IMAGES.shape, np.uint8)
    images[:] = torch.from_numpy(IMAGES)
    return Calibration(images, memory, seed=3)


def gains(prepared: PreparedModel) -> dict[str, Gain]:
    return {layer.node.name: Gain(layer) for layer in weighted(prepared, prepared.graph.nodes)}


def first_gradients(prepared: PreparedModel) -> list[Tensor]:
    """The gradient of the docstring's loss for the gains, on the images that the first step draws."""
    found, nodes = gains(prepared), prepared.graph.nodes
    images = torch.from_numpy(IMAGES)
    rows = torch.randint(len(images), (BATCH,), generator=calibration().generator())
    wanted = prepared.calibrator.observe(images)
    logits = run_nodes(prepared, nodes, {INPUT: prepared.real_input(images[rows])}, found)
    teacher = wanted[rows].softmax(1)
    divergence = (teacher * (wanted[rows].log_softmax(1) - logits.log_softmax(1))).sum(1).mean()
    loss = divergence + (logits - wanted[rows]).square().mean() / wanted.var()
    return list(torch.autograd.grad(loss, [gain.log for gain in found.values()]))


def test_it_follows_the_formula_of_its_docstring_at_falling_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[list[float]] = []
    gradients: list[Tensor] = []

    class Watched(torch.optim.Adam):
        def step(self, closure: Any = None) -> Any:
            rates.append([group["lr"] for group in self.param_groups])
            if len(rates) == 1:
                gradients.extend(p.grad.clone() for p in self.param_groups[0]["params"])
            return super().step(closure)

    expected = first_gradients(made("int2", "uint4"))
    monkeypatch.setattr(finetune_scales, "STEPS", STEPS)
    monkeypatch.setattr(torch.optim, "Adam", Watched)
    FinetuneScales().apply(made("int2", "uint4"), calibration())
    assert len(gradients) == len(expected) == 4
    for found, wanted in zip(gradients, expected, strict=True):
        assert F.cosine_similarity(found.flatten(), wanted.flatten(), dim=0) > 0.999
        torch.testing.assert_close(found, wanted, rtol=0.02, atol=0.02 * float(wanted.abs().max()))
    assert rates[0][0] == RATE
    shares = np.array(rates) / rates[0]
    np.testing.assert_allclose(shares, np.repeat([[1 - i / STEPS] for i in range(STEPS)], shares.shape[1], axis=1))
