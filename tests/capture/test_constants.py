"""Weights that a model computes from its parameters alone come out of capture as plain weights."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize

from bitwright.capture import capture, fuse
from bitwright.images.preprocess import Preprocess
from bitwright.prepared import PreparedModel
from bitwright.recipe import Recipe

PREPROCESS = Preprocess(size=6, mean=0.5, std=0.3)


def conv() -> nn.Conv2d:
    return nn.Conv2d(3, 4, 3, padding=1)


class Standardized(nn.Conv2d):
    """Weight standardization by batch norm, as in timm's ResNetV2."""

    def forward(self, x: Tensor) -> Tensor:
        weight = F.batch_norm(self.weight.reshape(1, self.out_channels, -1), None, None, training=True, eps=1e-6)
        return F.conv2d(x, weight.reshape_as(self.weight), self.bias, padding=self.padding)


class StandardizedByHand(nn.Conv2d):
    """Weight standardization with a gain, by mean and variance."""

    def forward(self, x: Tensor) -> Tensor:
        var, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True)
        weight = (self.weight - mean) / torch.sqrt(var + 1e-5) * 0.7
        return F.conv2d(x, weight, self.bias, padding=self.padding)


class Branches(nn.Module):
    """RepVGG: a 3x3 kernel, a 1x1 kernel and the identity, in one."""

    def __init__(self) -> None:
        super().__init__()
        self.three, self.one = nn.Parameter(torch.randn(3, 3, 3, 3)), nn.Parameter(torch.randn(3, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        identity = F.pad(torch.eye(3)[:, :, None, None], (1, 1, 1, 1))
        return F.conv2d(x, self.three + F.pad(self.one, (1, 1, 1, 1)) + identity, padding=1)


class Symmetric(nn.Module):
    """A parametrization of one's own."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight + weight.flip(-1)


def parametrized() -> nn.Module:
    module = conv()
    parametrize.register_parametrization(module, "weight", Symmetric())
    return module


def old(norm: Callable[[nn.Module], nn.Module]) -> nn.Module:
    with pytest.warns(FutureWarning):
        return norm(conv())


class Mixed(nn.Module):
    """Kernels chosen by numbers that are constants, and a constant of ones."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels, self.choice = nn.Parameter(torch.randn(5, 4, 3, 3, 3)), nn.Parameter(torch.randn(5))

    def forward(self, x: Tensor) -> Tensor:
        weight = (self.choice.softmax(0).reshape(-1, 1, 1, 1, 1) * self.kernels).sum(0)
        return F.conv2d(x, weight, torch.ones(4), padding=1)


MODULES: dict[str, Callable[[], nn.Module]] = {
    "weight norm": lambda: parametrizations.weight_norm(conv()),
    "weight norm of old": lambda: old(nn.utils.weight_norm),
    "spectral norm": lambda: parametrizations.spectral_norm(conv()),
    "spectral norm of old": lambda: nn.utils.spectral_norm(conv()),
    "orthogonal": lambda: parametrizations.orthogonal(conv()),
    "weight standardization": lambda: Standardized(3, 4, 3, padding=1),
    "weight standardization by hand": lambda: StandardizedByHand(3, 4, 3, padding=1),
    "branches": Branches,
    "parametrization": parametrized,
    "mixture of kernels": Mixed,
}


@pytest.mark.parametrize("kind", MODULES)
def test_a_weight_that_is_computed_is_one_convolution(kind: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(MODULES[kind](), nn.ReLU(), nn.Flatten()).eval()
    graph = fuse(capture(model, (3, 6, 6)))
    assert [node.op for node in graph.nodes] == ["conv2d", "reshape"]
    images = np.random.default_rng(1).integers(0, 256, (2, 6, 6, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = model(torch.from_numpy(PREPROCESS.normalise(images)))
    found = PreparedModel(graph, PREPROCESS, Recipe()).eval().calibrator.observe(torch.from_numpy(images))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_what_is_computed_and_not_finite_is_refused_by_the_name_of_its_layer() -> None:
    class Divided(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(x, self.weight / torch.zeros(1), self.bias)

    with pytest.raises(Exception, match=r"conv2d \(weight\) holds numbers that are not finite"):
        capture(nn.Sequential(Divided(3, 4, 3), nn.Flatten()), (3, 6, 6))


SMALLEST = float(np.finfo(np.float32).tiny)
"""The smallest normal number."""


@pytest.mark.parametrize("kind", ["parameter", "constant"])
def test_subnormal_numbers_are_zero(kind: str) -> None:
    """They are worth nothing, and processors multiply them many times slower. The smallest normal numbers stay."""
    small = np.array([1e-39, -1e-39, 1e-45, SMALLEST, -SMALLEST, 0.5], np.float32)
    conv = nn.Conv2d(3, 6, 1)
    conv.bias = nn.Parameter(torch.from_numpy(small.copy()))
    model = nn.Sequential(conv, nn.Flatten(1), nn.Linear(6 * 36, 2))

    class Added(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(108, 6)

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.fc(x.flatten(1)).reshape(-1, 2, 3)
            return (tokens + torch.from_numpy(small).reshape(2, 3)).flatten(1)

    made = model if kind == "parameter" else Added()
    tensors = [t for node in capture(made, (3, 6, 6)).nodes for t in node.tensors.values()]
    found = next(t.reshape(-1) for t in tensors if t.size == 6 and np.float32(0.5) in t)
    np.testing.assert_array_equal(found, np.array([0, 0, 0, SMALLEST, -SMALLEST, 0.5], np.float32))
    np.testing.assert_array_equal(conv.bias.detach().numpy(), small)  # the model stays as it was


def test_other_numbers_are_taken_as_they_are() -> None:
    """No copy, and no zero loses its sign: artifacts stay the same to the byte."""
    conv = nn.Conv2d(3, 6, 1)
    with torch.no_grad():
        conv.weight[0, 0] = -0.0
    graph = capture(nn.Sequential(conv, nn.Flatten(1), nn.Linear(6 * 36, 2)), (3, 6, 6))
    weight = graph.nodes[0].tensors["weight"]
    assert weight.tobytes() == conv.weight.detach().numpy().tobytes()
    assert np.shares_memory(weight, conv.weight.detach().numpy())
