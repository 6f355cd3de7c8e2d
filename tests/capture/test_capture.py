"""Every mapping from ATen, on small modules: the captured graph computes what the module computed.

Whole networks are in `tests/prepared/test_equality.py`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.algorithms.ranges import RANGES
from bitwright.capture import capture, fuse
from bitwright.images.preprocess import Preprocess
from bitwright.prepared import PreparedModel
from bitwright.recipe import Recipe
from tests.conformance.ops import cases
from tests.networks import assert_equal_codes, pictures

PREPROCESS = Preprocess(size=(10, 8), mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
SHAPE = (3, 10, 8)


class Net(nn.Module):
    """conv (3 to 8 channels), what a test is about, the mean over each plane, fc."""

    def __init__(self, body: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.body = body
        self.fc = nn.LazyLinear(5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(self.conv(x))
        logits: Tensor = self.fc(y.flatten(1))
        return logits


def check(model: nn.Module, preprocess: Preprocess = PREPROCESS) -> PreparedModel:
    """Captured, fused and prepared, a model gives its own logits, for one image and for several; integers are equal."""
    images = pictures(preprocess, 3)
    with torch.no_grad():
        expected = model.eval()(torch.from_numpy(preprocess.normalise(images))).numpy()
    height, width, channels = preprocess.shape
    prepared = PreparedModel(fuse(capture(model, (channels, height, width))), preprocess, Recipe.parse("w8a8"))
    for batch in (slice(3), slice(1, 2)):
        found = prepared.eval().calibrator.observe(torch.from_numpy(images[batch])).numpy()
        np.testing.assert_allclose(found, expected[batch], rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    assert expected.std() > 1e-3
    prepared.calibrator.choose_ranges(RANGES["minmax"])
    assert_equal_codes(prepared, images)
    return prepared


def shuffle(x: Tensor) -> Tensor:
    n, c, h, w = x.size()
    return x.view(n, 4, c // 4, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


def reused(x: Tensor) -> Tensor:
    """A tensor changed in place is read through its old name."""
    y = x * 2
    z = y
    y += x
    F.relu_(y)
    return torch.cat([z, y.add_(1)], 1)


BODIES: dict[str, Callable[[Tensor], Tensor]] = {
    "slice": lambda x: x[:, 1:7:2, 2:-1, ::3],
    "slice of planes": lambda x: x[:, :, ::2, ::2],
    "select a row": lambda x: x[:, :, -2],
    "select a channel": lambda x: x[:, 3],
    "chunk": lambda x: torch.cat(x.chunk(3, 1)[::-1], 1),
    "split": lambda x: torch.cat(torch.split(x, 3, 1)[1:], 1),
    "split in sizes": lambda x: torch.cat(torch.split(x, [1, 5, 2], dim=-3)[:2], 1),
    "cat of planes": lambda x: torch.cat([x, x[:, :, :4]], 2),
    "cat with itself": lambda x: torch.cat([x, x], -1),
    "pad both sides": lambda x: F.pad(x, (1, 2, 0, 3)),
    "pad channels": lambda x: F.pad(x, (0, 0, 0, 0, 2, 1)),
    "pad by a module": nn.ZeroPad2d((1, 0, 2, 0)),
    "channel shuffle": shuffle,
    "permute": lambda x: x.permute(0, 2, 3, 1),
    "transpose": lambda x: x.transpose(1, -1),
    "relu in place": lambda x: F.relu_(x),
    "in place, and read again": reused,
    "relu": F.relu,
    "relu6": F.relu6,
    "clamp": lambda x: x.clamp(-0.2, 0.4),
    "clamp from below": lambda x: x.clamp(min=0.1),
    "clamp from above": lambda x: x.clamp(max=0.1),
    "clip": lambda x: x.clip(max=0.1),
    "clip to numbers": lambda x: torch.clip(x, -0.2, 0.1),
    "hardtanh": F.hardtanh,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "silu by hand": lambda x: x * torch.sigmoid(x),
    "gelu": F.gelu,
    "gelu by tanh": nn.GELU("tanh"),
    "leaky relu": lambda x: F.leaky_relu(x, 0.2),
    "elu": F.elu,
    "mish": F.mish,
    "softplus": nn.Softplus(2.0),
    "hardshrink": lambda x: F.hardshrink(x, 0.1),
    "softshrink": lambda x: F.softshrink(x, 0.1),
    "softsign": F.softsign,
    "tanhshrink": lambda x: F.tanhshrink(x * 3),
    "log sigmoid": F.logsigmoid,
    "threshold": nn.Threshold(0.1, -0.5),
    "rrelu": nn.RReLU(),
    "glu": lambda x: F.glu(x, 1),
    "exp, scaled and shifted": lambda x: torch.exp(x) * 0.5 + 1,
    "power": lambda x: x**3,
    "two to the power of it": lambda x: 2**x,
    "square root behind a relu": lambda x: F.relu(x).sqrt(),
    "hardswish by hand": lambda x: x * F.relu6(x + 3) / 6,
    "gelu by hand": lambda x: 0.5 * x * (1 + torch.tanh(0.79788456 * (x + 0.044715 * x**3))),
    "leaky relu by where": lambda x: torch.where(x > 0, x, 0.1 * x),
    "a mask": lambda x: x * (x > 0.1).float(),
    "x minus its relu": lambda x: x - F.relu(x),
    "x over one and its relu": lambda x: x / (1 + F.relu(x)),
    "one minus it": lambda x: 1 - x,
    "one over it": lambda x: 1 / (x.abs() + 0.5),
    "negative": lambda x: -x,
    "greatest of it and a number": lambda x: torch.maximum(x, torch.tensor(0.1)),
    "least of a number and it": lambda x: torch.minimum(torch.tensor(0.1), x),
    "a difference": lambda x: x - F.max_pool2d(x, 3, 1, 1),
    "square": lambda x: x * x,
    "double": lambda x: x + x,
    "second names": lambda x: torch.subtract(torch.multiply(torch.absolute(x), 2), torch.special.expit(x)),
    "second name of putting together": lambda x: torch.concat([x, x.negative()], 1),
    "adaptive average pool": lambda x: F.adaptive_avg_pool2d(x, (5, 2)),
    "adaptive average pool to the same": lambda x: F.adaptive_avg_pool2d(x, (10, 8)),
    "view": lambda x: x.view(x.size(0), -1),
    "reshape": lambda x: x.reshape(-1, 4, 20, 8),
    "flatten planes": lambda x: x.flatten(2),
    "squeeze and unsqueeze": lambda x: F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(2).unsqueeze(1),
    "squeeze two": lambda x: F.adaptive_avg_pool2d(x, 1).squeeze((2, 3)),
    "add a number": lambda x: 0.3 + x + 1,
    "subtract a number": lambda x: x - 0.3,
    "multiply by a number": lambda x: 0.5 * x * -3,
    "divide by a number": lambda x: x / 3,
    "squeeze and excite": lambda x: x * torch.sigmoid(x.mean((2, 3), keepdim=True)),
    "excite first": lambda x: F.hardsigmoid(F.adaptive_avg_pool2d(x, 1)) * x,
    "sum with alpha": lambda x: torch.add(x, 2, alpha=3),
    "sum of two with alpha": lambda x: torch.add(x, x.tanh(), alpha=-3),
    "dropout outside training": lambda x: F.dropout(x, 0.5, training=False),
    "a copy": lambda x: x.clone().contiguous().detach(),
    **cases.BODIES,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_function(body: Callable[[Tensor], Tensor]) -> None:
    model = Net(body)
    model(torch.zeros(1, *SHAPE))  # makes the lazy layer
    check(model)


MODULES: dict[str, Callable[[], nn.Module]] = {
    "padding='same'": lambda: nn.Conv2d(3, 4, (4, 3), padding="same", dilation=(1, 2)),
    "padding='valid'": lambda: nn.Conv2d(3, 4, 3, padding="valid"),
    "dilation": lambda: nn.Conv2d(3, 4, 3, padding=(2, 1), dilation=(3, 2)),
    "stride": lambda: nn.Conv2d(3, 4, (3, 2), stride=(2, 3), padding=(1, 0), bias=False),
    "depthwise on the image": lambda: nn.Conv2d(3, 6, 3, groups=3, padding=1),
    "groups": lambda: nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 12, 3, groups=4)),
    "batch norm first": lambda: nn.Sequential(noisy(nn.BatchNorm2d(3)), nn.Conv2d(3, 4, 3)),
    "batch norm not affine": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), noisy(nn.BatchNorm2d(4, affine=False))),
    "two batch norms": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3), noisy(nn.BatchNorm2d(4)), noisy(nn.BatchNorm2d(4, eps=0.1))
    ),
}


def noisy(norm: Any) -> nn.Module:
    """A batch norm in eval mode with statistics and gains that no two channels share."""
    with torch.no_grad():
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.3, 3)
        if norm.affine:
            norm.weight.uniform_(-2, 2)
            norm.bias.uniform_(-1, 1)
    found: nn.Module = norm.eval()
    return found


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("module", MODULES)
def test_a_module(module: str) -> None:
    torch.manual_seed(2)
    check(nn.Sequential(MODULES[module](), nn.ReLU(inplace=True), nn.Flatten(), nn.Flatten()))


def test_linear_layers_alone_on_a_flat_grey_image() -> None:
    torch.manual_seed(3)
    layers = (nn.Linear(80, 16), noisy(nn.BatchNorm1d(16)), nn.ReLU(), nn.Dropout(), nn.Linear(16, 7, bias=False))
    check(nn.Sequential(nn.Flatten(), *layers), Preprocess(size=(10, 8), mode="L", scale=1, mean=128))


COMPOSED: dict[str, tuple[Callable[[Tensor], Tensor], list[str]]] = {
    "softsign": (F.softsign, ["function"]),
    "silu by hand": (lambda x: x * torch.sigmoid(x), ["function"]),
    "mish by hand": (lambda x: x * torch.tanh(F.softplus(x)), ["function"]),
    "hardswish by hand": (lambda x: x * F.relu6(x + 3) / 6, ["function"]),
    "tanh of tanh, scaled": (lambda x: 2 * torch.tanh(torch.tanh(x)) + 1, ["function"]),
    "a relu stays one": (lambda x: torch.sqrt(F.relu(x)), ["clamp", "function"]),
    "a gate by another value": (
        lambda x: x * torch.sigmoid(F.max_pool2d(x, 3, 1, 1)),
        ["function", "max_pool2d", "mul"],
    ),
    "numbers alone are no function": (lambda x: 2 * x + 1, ["batch_norm", "batch_norm"]),
}


@pytest.mark.parametrize("case", COMPOSED)
def test_what_is_a_function_of_one_number_becomes_one_node(case: str) -> None:
    body, expected = COMPOSED[case]
    model = Net(body)
    model(torch.zeros(1, *SHAPE))
    ops = [node.op for node in capture(model.eval(), SHAPE).nodes]
    assert sorted(op for op in ops if op not in ("conv2d", "reshape", "linear")) == expected


def test_a_function_of_a_learned_number_keeps_its_parameter() -> None:
    class Learned(Net):
        def __init__(self) -> None:
            super().__init__(lambda x: x)
            self.gain = nn.Parameter(torch.tensor([1.5]))

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.fc((torch.tanh(self.conv(x)) * self.gain).flatten(1))
            return logits

    model = Learned()
    model(torch.zeros(1, *SHAPE))
    prepared = check(model)
    assert [node.attrs["learns"] for node in prepared.graph.nodes if node.op == "batch_norm"] == [("bn_weight",)]


class Calls(nn.Module):
    """Modules that are called more than once."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.stem, self.conv, self.norm, self.act = (
            nn.Conv2d(3, 4, 1),
            nn.Conv2d(4, 4, 3, padding=1),
            noisy(nn.BatchNorm2d(4)),
            nn.ReLU(),
        )
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for _ in range(3):
            x = self.act(self.norm(self.conv(x)))
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def test_a_module_that_is_called_again() -> None:
    prepared = check(Calls())
    assert [node.name for node in prepared.graph.nodes if node.op == "conv2d"] == ["stem", "conv", "conv_1", "conv_2"]
    assert all(node.origin == node.name.split("_")[0] for node in prepared.graph.nodes if node.op == "conv2d")


class Scaled(nn.Module):
    """An op with a constant, on planes [N, 8, H, W] or on features [N, 8]."""

    constant: Tensor

    def __init__(self, op: Callable[[Tensor, Tensor], Tensor], planes: bool) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.conv, self.fc, self.op, self.planes = nn.Conv2d(3, 8, 3), nn.Linear(8, 4), op, planes
        self.register_buffer("constant", torch.linspace(0.5, 2, 8).reshape((1, 8, 1, 1) if planes else (8,)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = self.op(x, self.constant).mean((2, 3)) if self.planes else self.op(x.mean((2, 3)), self.constant)
        logits: Tensor = self.fc(x)
        return logits


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("op", [torch.mul, torch.add, torch.sub, torch.div])
def test_a_constant_for_each_channel(op: Callable[[Tensor, Tensor], Tensor], planes: bool) -> None:
    check(Scaled(op, planes))


def test_an_image_normalised_in_place() -> None:
    """The exported program also returns the image that was changed; the logits are still the output."""

    class Normalises(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(6)
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            x.sub_(0.1).div_(2)
            logits: Tensor = self.fc(self.conv(x).mean((2, 3)))
            return logits

    check(Normalises())


@pytest.mark.parametrize("name", ["values", "items", "logits", "input"])
def test_any_name_of_a_module(name: str) -> None:
    """Names that the tools use themselves are as good as others."""

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(7)
            setattr(self, name, nn.Linear(240, 6))

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self._modules[name](x.flatten(1)))  # type: ignore[misc]

    prepared = check(Named())
    assert [node.origin for node in prepared.graph.nodes if node.op == "linear"] == [name]


@pytest.mark.parametrize("convert", [Tensor.float, lambda x: x.to(memory_format=torch.channels_last)])
def test_a_conversion_that_changes_nothing(convert: Callable[[Tensor], Tensor]) -> None:
    model = Net(convert)
    model(torch.zeros(1, *SHAPE))
    check(model)


def test_an_exported_program() -> None:
    model = Calls().eval()
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(model, (torch.zeros(2, *SHAPE),), dynamic_shapes=shapes)
    first, second = capture(model, SHAPE), capture(program, SHAPE)
    assert [(n.name, n.op, n.inputs) for n in first.nodes] == [(n.name, n.op, n.inputs) for n in second.nodes]
    for a, b in zip(first.nodes, second.nodes, strict=True):
        assert all(np.array_equal(a.tensors[key], b.tensors[key]) for key in {*a.tensors, *b.tensors})
