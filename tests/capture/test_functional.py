"""Programs that need no decomposition: the same graph without it, and with it whatever writes over what others read."""

import importlib
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.capture import capture
from bitwright.errors import CaptureError, CaptureWarning
from bitwright.graph import Graph
from tests.capture.test_capture import SHAPE, Net, check
from tests.networks import network

capturing = importlib.import_module("bitwright.capture.capture")  # the package has a function of this name


class Asked:
    """What capture is told of the programs that it exports."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[bool] = []
        real = capturing.made_functional

        def made_functional(exported: torch.export.ExportedProgram) -> bool:
            self.answers.append(real(exported))
            return self.answers[-1]

        monkeypatch.setattr(capturing, "made_functional", made_functional)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


def assert_same(found: Graph, expected: Graph) -> None:
    assert found.values == expected.values
    for node, other in zip(found.nodes, expected.nodes, strict=True):
        assert (node.name, node.op, node.inputs, node.origin) == (other.name, other.op, other.inputs, other.origin)
        assert node.attrs == other.attrs
        assert node.tensors.keys() == other.tensors.keys()
        for key, tensor in node.tensors.items():
            np.testing.assert_array_equal(tensor, other.tensors[key])


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x1_0", "cifar_react20", "cifar_nin"]
)
def test_a_network_has_the_same_graph_as_when_decomposed(
    name: str, torchvision: ModuleType, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, preprocess = network(name, torchvision)
    height, width, channels = preprocess.shape
    found = capture(model, (channels, height, width))
    assert asked.answers == [True]
    monkeypatch.setattr(capturing, "made_functional", lambda exported: False)
    assert_same(found, capture(model, (channels, height, width)))


def chain(x: Tensor) -> Tensor:
    y = F.relu_(F.max_pool2d(x, 2, 1))
    y += 0.5
    y.mul_(F.hardswish(y, inplace=False))
    return F.dropout(y, training=False)


def old_name(x: Tensor) -> Tensor:
    """What was read before is not what is read later."""
    y = x * 2
    z = y + 1
    F.relu_(y)
    return torch.cat([z, y, y.add_(x)], 1)


def second(x: Tensor) -> Tensor:
    y = F.relu(x)
    z = F.relu(x)
    z.add_(y)
    return y * z


def no_dropout(x: Tensor) -> Tensor:
    """What writes nothing outside training may have any memory."""
    return F.dropout(x.flatten(1), training=False, inplace=True)


SURE: dict[str, Callable[[Tensor], Tensor]] = {
    "a chain": chain,
    "an old name": old_name,
    "two alike": second,
    "no dropout": no_dropout,
}


@pytest.mark.parametrize("body", SURE.values(), ids=SURE)
def test_what_one_value_alone_is_in_may_be_written_over(body: Callable[[Tensor], Tensor], asked: Asked) -> None:
    check(Net(body))
    assert asked.answers == [True]


def through_a_view(x: Tensor) -> Tensor:
    F.relu_(x.view(-1, 4, 2, 10, 8))
    return x


def seen_by_a_view(x: Tensor) -> Tensor:
    y = x.permute(0, 1, 3, 2)
    x.add_(1)
    return y


def a_part(x: Tensor) -> Tensor:
    F.relu_(x.chunk(2, 1)[1])
    return x


UNSURE: dict[str, Callable[[Tensor], Tensor]] = {
    "through a view": through_a_view,
    "seen by a view": seen_by_a_view,
    "a part": a_part,
}


@pytest.mark.parametrize("body", UNSURE.values(), ids=UNSURE)
def test_memory_of_several_names_is_decomposed(body: Callable[[Tensor], Tensor], asked: Asked) -> None:
    check(Net(body))
    assert asked.answers == [False]


class Logits(nn.Module):
    """Its logits are written over, and returned by the name that they had before."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.fc = nn.Linear(240, 5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(x.flatten(1))
        F.leaky_relu_(y, 0.1)
        return y


class OverTheImage(Logits):
    def forward(self, x: Tensor) -> Tensor:
        x = x * 1
        x.mul_(2)
        y: Tensor = self.fc(F.relu_(x).flatten(1))
        return y


@pytest.mark.parametrize("model", [Logits, OverTheImage])
def test_logits_and_images_that_are_written_over(model: type[nn.Module]) -> None:
    check(model())


def test_what_would_become_of_another_type_is_decomposed(asked: Asked) -> None:
    """float32 written over by a product with float64 stays float32; as a product of its own it would be float64."""

    class Scaled(Logits):
        factor: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("factor", torch.rand(1, 3, 1, 1, dtype=torch.float64) + 0.5)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.fc(F.relu(x).mul_(self.factor).flatten(1))
            return y

    with pytest.warns(CaptureWarning, match=r"torch\.float64"):
        capture(Scaled(), SHAPE)
    assert asked.answers == [False]


def test_a_batch_norm_that_trains_is_decomposed(asked: Asked) -> None:
    """Its statistics are those of the batch, which no graph has."""

    class Trains(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.batch_norm(x, None, None, training=True).mean((2, 3))

    with pytest.raises(CaptureError, match="no mapping for the op"):
        capture(Trains(), SHAPE)
    assert asked.answers == [False]
