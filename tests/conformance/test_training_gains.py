"""Every training algorithm wins back what rounding alone loses, by each of the things that it trains.

One thing at a time, so that no other makes up for a gradient that has stopped working: the weights of a layer in the middle
learn through the rounding of themselves and of the activations behind them; scales and zero points, where they are learned,
learn back from where they were moved to.
"""

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import bitwright as bw
from bitwright.algorithms.training import TRAINING
from bitwright.algorithms.training.one_bit import OneBit

PREPROCESS = bw.Preprocess(size=4, mean=0.5, std=0.25)
SEEN, HELD_OUT = np.random.default_rng(0).integers(0, 256, (2, 256, 4, 4, 3), dtype=np.uint8)
STEPS = 100


class Plain(nn.Module):
    """No batch norms: what is not trained stays as it is. Without relus, too, one-bit codes are -1 and +1."""

    def __init__(self, relus: bool) -> None:
        super().__init__()
        self.between = F.relu if relus else None
        self.first, self.middle, self.behind = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 1)
        self.last = nn.Linear(256, 4)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.first, self.middle, self.behind):
            x = layer(x) if self.between is None else self.between(layer(x))
        result: Tensor = self.last(x.flatten(1))
        return result


@cache
def float_model(relus: bool) -> torch.export.ExportedProgram:
    """Captured once for all algorithms."""
    torch.manual_seed(0)
    free = ({0: torch.export.Dim("batch")},)
    return torch.export.export(Plain(relus).eval(), (normalised(SEEN[:2]),), dynamic_shapes=free)


@cache
def wanted(relus: bool, held_out: bool) -> Tensor:
    with torch.no_grad():
        logits: Tensor = float_model(relus).module()(normalised(HELD_OUT if held_out else SEEN))
    return logits


def normalised(images: np.ndarray) -> Tensor:
    return torch.from_numpy(PREPROCESS.normalise(images))


class Problem:
    """A network quantized for one algorithm: of one bit where it is made for that, else of two."""

    def __init__(self, name: str) -> None:
        self.relus = not isinstance(TRAINING[name], OneBit)
        recipe = "w2a2" if self.relus else "w1a1"
        model = float_model(self.relus)
        self.prepared = bw.prepare_qat(model, preprocess=PREPROCESS, recipe=recipe, training=name, images=SEEN)

    def parameters(self, *endings: str) -> list[nn.Parameter]:
        return [parameter for key, parameter in self.prepared.named_parameters() if key.endswith(endings)]

    def lost(self) -> float:
        """The mean squared distance of the integers from the float logits, on images that nothing was learned from."""
        with torch.no_grad():
            logits: Tensor = self.prepared.eval()(normalised(HELD_OUT))
        return float((logits - wanted(self.relus, held_out=True)).square().mean())

    def train(self, parameters: list[nn.Parameter]) -> None:
        optimizer = torch.optim.Adam(parameters, lr=0.003)
        self.prepared.train()
        for step in range(STEPS):
            self.prepared.set_progress(step / STEPS)
            logits = self.prepared(normalised(SEEN))
            loss = (logits - wanted(self.relus, held_out=False)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@pytest.mark.parametrize("name", TRAINING)
def test_weights_of_one_layer_win_back_what_rounding_lost(name: str) -> None:
    problem = Problem(name)
    before = problem.lost()
    problem.train(problem.parameters("middle.weight"))
    assert problem.lost() < 0.8 * before


OF_ACTIVATIONS = ("/first.scale", "/middle.scale", "/behind.scale")
OF_WEIGHTS = ("/middle.quantizer.scale", "/behind.quantizer.scale")


LEARNERS = {
    "lsq, activations": ("lsq", OF_ACTIVATIONS),
    "lsq, weights": ("lsq", OF_WEIGHTS),
    "lsq_plus, activations": ("lsq_plus", OF_ACTIVATIONS),
    "lsq_plus, weights": ("lsq_plus", OF_WEIGHTS),
    "pact, activations": ("pact", OF_ACTIVATIONS),
}


@pytest.mark.parametrize(("name", "scales"), LEARNERS.values(), ids=LEARNERS)
def test_learned_scales_are_learned_back(name: str, scales: tuple[str, ...]) -> None:
    problem = Problem(name)
    learned = problem.parameters(*scales)
    assert len(learned) == len(scales)
    at_first = problem.lost()
    with torch.no_grad():
        for scale in learned:
            scale.mul_(2)
    assert problem.lost() > 1.4 * at_first
    problem.train(learned)
    assert problem.lost() < 1.2 * at_first


def test_lsq_plus_learns_zero_points_back() -> None:
    problem = Problem("lsq_plus")
    learned = problem.parameters("/first.zero_point", "/middle.zero_point", "/behind.zero_point")
    assert len(learned) == 3
    at_first = problem.lost()
    with torch.no_grad():
        for zero_point in learned:
            zero_point.add_(0.6)  # one, when rounded
    assert problem.lost() > 1.1 * at_first
    problem.train(learned)
    assert problem.lost() < 1.02 * at_first
