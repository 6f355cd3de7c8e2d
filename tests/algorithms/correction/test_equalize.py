"""`equalize` where residual connections add layers up: all of them share the scales of the stream."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bitwright.images.preprocess import Preprocess
from bitwright.prepared import PreparedModel
from bitwright.quantization import calibrate, prepare
from bitwright.recipe import Recipe, Rule
from tests.networks import assert_equal_codes

PREPROCESS = Preprocess(size=8, mean=0.5, std=0.25)
IMAGES = np.random.default_rng(0).integers(0, 256, (48, 8, 8, 3), dtype=np.uint8)
STREAM = ("stem", "first.project", "second.project")
LOUD = 3


class Block(nn.Module):
    """An expansion and a projection that is added to what the expansion reads."""

    def __init__(self, clamp: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.expand, self.project = nn.Conv2d(8, 16, 1), nn.Conv2d(16, 8, 1)
        self.clamp = clamp()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.clamp(x + self.project(torch.relu(self.expand(x))))
        return found


class Residual(nn.Module):
    """A stem and two blocks whose sums have one channel that is far louder than the others."""

    def __init__(self, clamp: Callable[[], nn.Module] = nn.Identity, *, pooled: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.first, self.second = nn.Conv2d(3, 8, 1), Block(clamp), Block(clamp)
        self.head: nn.Module = nn.Identity() if pooled else nn.Conv2d(8, 8, 1)
        self.fc = nn.Linear(8, 4)
        with torch.no_grad():
            for layer in (self.stem, self.first.project, self.second.project):
                layer.weight[LOUD] *= 64
            for reader in (self.first.expand, self.second.expand, self.head):
                if isinstance(reader, nn.Conv2d):
                    reader.weight[:, LOUD] /= 64

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.head(self.second(self.first(self.stem(x)))).mean((2, 3)))
        return logits


def made(
    model: nn.Module, *algorithms: str, activations: str = "uint8", layers: tuple[Rule, ...] = ()
) -> PreparedModel:
    recipe = Recipe(weights="int8", activations="uint8", algorithms=algorithms, layers=layers)
    prepared = prepare(model.eval(), preprocess=PREPROCESS, recipe=recipe)
    calibrate(prepared, IMAGES, range="minmax", guard=False)
    return prepared


def scales(prepared: PreparedModel) -> Tensor:
    """The scales of the layers of the stream, [3, C]."""
    return torch.stack([prepared.layer(name).equalized for name in STREAM])


def error(prepared: PreparedModel) -> float:
    with torch.no_grad():
        found = prepared(torch.from_numpy(PREPROCESS.normalise(IMAGES)))
        return float((found - prepared.calibrator.observe(torch.from_numpy(IMAGES))).square().mean().sqrt())


@pytest.mark.parametrize("clamp", [nn.Identity, nn.ReLU])
def test_the_layers_of_a_stream_share_scales_and_the_float_model_stays_as_it_was(
    clamp: Callable[[], nn.Module],
) -> None:
    before, after = (made(Residual(clamp), *names) for names in ((), ("equalize",)))
    found = scales(after)
    assert torch.equal(found, found[:1].expand_as(found))
    assert found[0, LOUD] == 1
    assert found[0].median() >= 2
    quarters = 4 * found[0].log2()
    torch.testing.assert_close(quarters, quarters.round(), rtol=0, atol=1e-4)
    assert bool((quarters.round() % 4 != 0).any()), "scales are finer than octaves"
    images = torch.from_numpy(IMAGES)
    torch.testing.assert_close(
        after.calibrator.observe(images), before.calibrator.observe(images), rtol=1e-5, atol=1e-5
    )
    assert error(after) < 0.6 * error(before)
    assert_equal_codes(after, IMAGES[:4])


@pytest.mark.parametrize("model", [Residual(nn.ReLU6), Residual(pooled=True)], ids=["a clamp at 6", "a pool reads it"])
def test_a_stream_that_cannot_be_scaled_stays(model: nn.Module) -> None:
    assert bool((scales(made(model, "equalize")) == 1).all())


def test_readers_in_codes_of_another_type_are_reached_and_all_is_undone_by_the_next_calibration() -> None:
    narrow = (Rule(match="second.expand", inputs="uint4"),)
    plain, prepared = made(Residual(), layers=narrow), made(Residual(), "equalize", layers=narrow)
    assert "quantize" in {node.op for node in prepared.graph.nodes}
    assert bool((scales(prepared) > 1).any())
    assert_equal_codes(prepared, IMAGES[:4])
    prepared.recipe = plain.recipe
    calibrate(prepared, IMAGES, range="minmax", guard=False)
    for (name, found), wanted in zip(prepared.state_dict().items(), plain.state_dict().values(), strict=True):
        assert torch.equal(found, wanted), name
