"""`reconstruct` gains on what it starts from. What does not help is undone, so that only this shows whether it still learns."""

import pytest
import torch
from torch import Tensor, nn

from bitwright.algorithms.correction import reconstruct
from bitwright.algorithms.correction.learning import run_with, weighted
from bitwright.algorithms.correction.reconstruct import FIRST, Soft
from bitwright.images.preprocess import Preprocess
from bitwright.prepared import PreparedModel
from bitwright.quantization import calibrate, prepare
from bitwright.recipe import Recipe
from tests.networks import pictures

PREPROCESS = Preprocess(size=8, mean=0.5, std=0.25)
IMAGES = pictures(PREPROCESS, 64)


class Network(nn.Module):
    """A stem, a residual block and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 1, 1)
        self.widen, self.narrow = nn.Conv2d(8, 16, 3, 1, 1), nn.Conv2d(16, 8, 3, 1, 1)
        self.head = nn.Linear(8 * 16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(x + self.narrow(torch.relu(self.widen(x))))
        logits: Tensor = self.head(nn.functional.avg_pool2d(x, 2).flatten(1))
        return logits


def made(weights: str, activations: str = "uint8", *algorithms: str) -> PreparedModel:
    torch.manual_seed(0)
    recipe = Recipe(weights=weights, activations=activations, algorithms=algorithms)
    prepared = prepare(Network().eval(), preprocess=PREPROCESS, recipe=recipe)
    calibrate(prepared, IMAGES, guard=False)
    return prepared


def test_it_gains_on_the_codes_that_it_starts_from(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = []
    measure = reconstruct._error

    def measured(*where: object) -> float:
        errors.append(measure(*where))  # type: ignore[arg-type]
        return errors[-1]

    monkeypatch.setattr(reconstruct, "STEPS", 40)
    monkeypatch.setattr(reconstruct, "_error", measured)
    made("int2", "uint4", "reconstruct")
    ratios = [after / before for before, after in zip(errors[::2], errors[1::2], strict=True)]
    assert len(ratios) == 3
    assert min(ratios) < 0.97, ratios  # of a wrong sign, each is 1.4 or more


@pytest.mark.parametrize("weights", ["int8", "int3", "ternary", "binary"])
def test_its_weights_begin_between_the_float_ones_and_their_codes(weights: str) -> None:
    prepared = made(weights)
    for layer in weighted(prepared, prepared.graph.nodes):
        assert layer.quantizer is not None
        shape = prepared.graph.values[layer.node.inputs[0]].shape
        x = torch.randn(4, *shape, generator=torch.Generator().manual_seed(1))
        real = layer.tensors()["weight"].detach()
        rounded = layer.codes() * layer.quantizer.step(real)
        found, between, far = (
            run_with(layer, weight, [x]) if isinstance(weight, Tensor) else weight([x])
            for weight in (Soft(layer), torch.lerp(real, rounded, FIRST), rounded)
        )
        assert (found - between).norm() < 0.3 * (far - run_with(layer, real, [x])).norm()


@pytest.mark.parametrize("weights", ["int8", "int3", "ternary", "binary"])
def test_what_learned_nothing_settles_where_it_began(weights: str) -> None:
    prepared = made(weights)
    for layer in weighted(prepared, prepared.graph.nodes):
        before = layer.codes()
        Soft(layer).settle()
        assert torch.equal(layer.codes(), before)
