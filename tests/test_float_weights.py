"""The float model as corrections have left it: under the model's own names, and the function of the prepared model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

import bitwright as bw
from bitwright.errors import CaptureWarning, ModelError
from bitwright.float_weights import FloatWeights
from bitwright.images.preprocess import Preprocess
from bitwright.prepared import PreparedModel

PREPROCESS = Preprocess(size=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
PIXELS = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3)).astype(np.uint8)


class Block(nn.Module):
    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.expand, self.norm = nn.Conv2d(8, 16, 1, bias=False), nn.BatchNorm2d(16)
        self.depth, self.norm_2 = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False), nn.BatchNorm2d(16)
        self.project = nn.Conv2d(16, 8, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm(self.expand(x)))
        y = torch.relu(self.norm_2(self.depth(y)))
        found: Tensor = x + self.project(y)
        return found


class Net(nn.Module):
    """Two blocks that are alike, with norms whose shifts are all the same zeros, and a linear layer."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        blocks = Block(bias), Block(bias)
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(8, 5)
        rng = np.random.default_rng(1)
        for block in blocks:
            for norm in (block.norm, block.norm_2):
                size = torch.from_numpy(np.exp(rng.normal(0, 1.5, 16)).astype(np.float32))
                norm.weight.data.copy_(size)
                norm.running_var = torch.from_numpy(rng.uniform(0.1, 0.3, 16).astype(np.float32))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.blocks(torch.relu(self.stem(x))).mean((2, 3)))
        return logits


def net(bias: bool = True) -> Net:
    torch.manual_seed(0)
    return Net(bias).eval()


def prepared_with(model: nn.Module, algorithms: tuple[str, ...]) -> tuple[PreparedModel, FloatWeights]:
    recipe = bw.Recipe(algorithms=algorithms)
    prepared = bw.prepare(model, preprocess=PREPROCESS, recipe=recipe)
    weights = FloatWeights(model, prepared)
    bw.calibrate(prepared, PIXELS, guard=False)
    return prepared, weights


def test_equalized_weights_load_into_the_module_and_keep_its_function() -> None:
    model = net()
    prepared, weights = prepared_with(model, ("equalize",))
    state, told = weights.state()
    assert told == []
    assert state.keys() == model.state_dict().keys()
    changed = [name for name, tensor in state.items() if not torch.equal(tensor, model.state_dict()[name])]
    assert "blocks.0.norm.weight" in changed
    assert "blocks.1.depth.weight" in changed
    again = net()
    again.load_state_dict(state)
    x = torch.from_numpy(PREPROCESS.normalise(PIXELS))
    with torch.no_grad():
        expected, found = model(x), again(x)
        assert torch.allclose(found, prepared.float_logits(x), atol=1e-4)
    assert torch.allclose(found, expected, atol=1e-4)


def test_adarounded_weights_are_the_numbers_that_the_codes_stand_for() -> None:
    model = net()
    prepared, weights = prepared_with(model, ("adaround",))
    state, _ = weights.state()
    for name in ("blocks.0.expand", "blocks.1.depth", "fc"):
        layer = prepared.layer(name)
        assert layer.quantizer is not None
        weight = layer.tensors()["weight"]
        assert torch.allclose(state[f"{name}.weight"], layer.codes() * layer.quantizer.step(weight), atol=1e-6)
        assert not torch.equal(state[f"{name}.weight"], model.state_dict()[f"{name}.weight"])


def test_a_bias_that_the_module_lacks_is_named() -> None:
    model = net(bias=False)
    _, weights = prepared_with(model, ("bias_correct",))
    state, told = weights.state()
    new = state.keys() - model.state_dict().keys()
    assert new == {"blocks.0.project.bias", "blocks.1.project.bias"}
    assert told == [f"{name} is new: give the layer a bias to load it" for name in sorted(new)]
    assert not torch.equal(state["fc.bias"], model.state_dict()["fc.bias"])


def test_what_has_no_names_is_refused() -> None:
    prepared = bw.prepare(net(), preprocess=PREPROCESS)
    with pytest.raises(ModelError, match="expected a float model"):
        FloatWeights(prepared.graph, prepared)


def test_quantize_writes_them(tmp_path: Path) -> None:
    path, model = tmp_path / "w.safetensors", net(bias=False)
    with pytest.warns(CaptureWarning, match="is new: give the layer a bias"):
        bw.quantize(model, PIXELS, preprocess=PREPROCESS, float_weights=path, guard=False)
    assert load_file(path).keys() >= model.state_dict().keys()
    with safe_open(path, "pt") as file:
        assert file.metadata()["format"] == "pt"
        assert "blocks.0.project.bias is new" in file.metadata()["notes"]
