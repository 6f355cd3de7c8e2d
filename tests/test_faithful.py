"""A graph that does not compute what the model does is refused, whatever was misunderstood."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.errors import CaptureError
from bitwright.faithful import TOLERANCE, expect_faithful
from bitwright.images.preprocess import Preprocess
from bitwright.models.float_models import TorchModel
from bitwright.prepared.float_graph import FloatGraph
from bitwright.quantization import prepare

PREPROCESS = Preprocess(size=8)
SHAPE = (3, 8, 8)


class Logits(nn.Module):
    """A linear layer, and what comes behind it."""

    def __init__(self, end: Any = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(192, 5)
        self.end = end

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(x.flatten(1))
        return y if self.end is None else self.end(y)


def changed_in_place(y: Tensor) -> Tensor:
    """A dropout that does nothing is its input itself in PyTorch; `run_decompositions` makes it a copy."""
    F.relu_(F.dropout(y, training=False))
    return y


def test_a_change_that_capture_does_not_see_is_refused() -> None:
    with pytest.raises(CaptureError, match=r"does not compute what the model does: .* off by \d+ % of the largest"):
        prepare(Logits(changed_in_place), preprocess=PREPROCESS)


@pytest.mark.parametrize("end", [None, F.relu, lambda y: y.softmax(1), lambda y: y.log_softmax(1)])
@pytest.mark.filterwarnings("ignore::bitwright.errors.CaptureWarning")
def test_what_is_captured_rightly_is_taken(end: Any) -> None:
    prepare(Logits(end), preprocess=PREPROCESS)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.filterwarnings("ignore::bitwright.errors.CaptureWarning")
def test_a_model_of_another_type_may_be_as_coarse_as_that(dtype: torch.dtype) -> None:
    prepare(Logits().to(dtype), preprocess=PREPROCESS)


def test_a_small_difference_is_one() -> None:
    model, other = Logits(), Logits()
    graph = TorchModel(model).capture(SHAPE).graph
    with torch.no_grad():
        other.fc.bias[3] += 0.01
    expect_faithful(TorchModel(model), graph, SHAPE)
    with pytest.raises(CaptureError):
        expect_faithful(TorchModel(other), graph, SHAPE)
    expect_faithful(TorchModel(other), graph, SHAPE, exact=False)


def test_a_small_difference_behind_a_softmax_is_one() -> None:
    model, other = Logits(lambda y: (y / 100).softmax(1)), Logits(lambda y: (y / 100).softmax(1))
    graph = TorchModel(model).capture(SHAPE).graph
    with torch.no_grad():
        other.fc.bias[3] += 0.05
    expect_faithful(TorchModel(model), graph, SHAPE)
    with pytest.raises(CaptureError):
        expect_faithful(TorchModel(other), graph, SHAPE)


@pytest.mark.parametrize("change", [lambda x: x.sub_(0.5), lambda x: x.mul_(2).div_(3), F.relu_])
def test_what_a_model_does_to_its_images_in_place_is_done_to_a_copy(change: Any) -> None:
    class Changing(Logits):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(change(x))

    images = torch.randn(2, *SHAPE)
    before = images.clone()
    TorchModel(Changing()).predict(images.numpy())
    assert torch.equal(images, before)
    prepare(Changing(), preprocess=PREPROCESS)


@pytest.mark.parametrize("end", [torch.sigmoid, F.logsigmoid])
@pytest.mark.parametrize("offset", [-200.0, -40.0, -9.0, 12.0, 16.0, 40.0])
@pytest.mark.filterwarnings("ignore::bitwright.errors.CaptureWarning")
def test_a_single_probability_that_is_almost_certain_is_taken(end: Any, offset: float) -> None:
    prepare(Logits(lambda y: end(y[:, :1] + offset)), preprocess=PREPROCESS)


class Deep(nn.Sequential):
    """So many layers that 16 bits are not enough to tell what the model computes."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        layers = [(nn.Linear(64, 64), nn.LayerNorm(64), nn.ReLU()) for _ in range(30)]
        super().__init__(
            nn.Flatten(), nn.Linear(192, 64), *(part for layer in layers for part in layer), nn.Linear(64, 5)
        )


@pytest.mark.filterwarnings("ignore::bitwright.errors.CaptureWarning")
def test_a_deep_model_of_few_digits_is_asked_in_float64() -> None:
    model = Deep().bfloat16()
    graph = TorchModel(model).capture(SHAPE).graph
    images = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    theirs, ours = torch.from_numpy(TorchModel(model).predict(images.numpy())), FloatGraph(graph)(images)
    assert (theirs - ours).abs().max() > 5 * TOLERANCE * theirs.abs().max()  # its own type does not say
    expect_faithful(TorchModel(model), graph, SHAPE)
    expect_faithful(TorchModel(model), graph, SHAPE, exact=False)
    with torch.no_grad():
        next(reversed(list(model.parameters())))[3] += 1
    with pytest.raises(CaptureError):
        expect_faithful(TorchModel(model), graph, SHAPE, exact=False)


class Cancelling(Logits):
    """A norm takes away nearly all of what a large bias adds: few digits of float32 are left."""

    def __init__(self, mean: float, lost: Any = None) -> None:
        super().__init__(lost)
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        with torch.no_grad():
            for offset in (self.conv.bias, self.norm.running_mean):
                assert offset is not None
                offset.fill_(mean)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.norm(self.conv(x)))


def test_a_model_that_loses_its_own_digits_is_no_misunderstanding() -> None:
    model = Cancelling(3e5)
    images = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        exact = copy.deepcopy(model).double().eval()(images.double())
        assert (model.eval()(images) - exact).abs().max() > 2e-3 * exact.abs().max()
    prepare(model, preprocess=PREPROCESS)
    prepare(TorchModel(model).capture(SHAPE), preprocess=PREPROCESS)
    with pytest.raises(CaptureError):
        prepare(Cancelling(3e5, changed_in_place), preprocess=PREPROCESS)


def test_a_model_that_insists_on_float32_is_asked_no_further() -> None:
    class Insisting(Cancelling):
        def forward(self, x: Tensor) -> Tensor:
            assert self.conv.weight.dtype == torch.float32
            return super().forward(x)

    with pytest.raises(CaptureError, match="does not compute what the model does"):
        prepare(Insisting(3e5), preprocess=PREPROCESS)


class Chaotic(Logits):
    """A logistic map, which doubles every difference 80 times; fusing a convolution and its norm rounds elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        nn.init.uniform_(self.norm.weight, 0.3, 0.9)
        self.norm.running_var = torch.rand(3) + 0.3

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x)).sigmoid()
        for _ in range(80):
            x = 3.99 * x * (1 - x)
        return super().forward(x)


def test_a_model_that_answers_by_chance_is_not_said_to_be_misunderstood() -> None:
    torch.manual_seed(0)
    model, other = Chaotic().eval(), Chaotic().eval()
    graph = TorchModel(model).capture(SHAPE).graph
    with torch.no_grad():
        other.load_state_dict(model.state_dict())
        other.conv.weight *= 1 + 1e-6
    with pytest.raises(CaptureError, match="no capture of the model can be confirmed"):
        expect_faithful(TorchModel(other), graph, SHAPE)


class Masked(Logits):
    """Three of ten classes are masked; or the input is a root, which random numbers have none of."""

    def __init__(self, root: bool = False, end: Any = None) -> None:
        super().__init__(end)
        self.fc, self.root = nn.Linear(192, 10), root
        self.register_buffer("mask", torch.tensor([0.0] * 7 + [-1e5] * 3))

    def forward(self, x: Tensor) -> Tensor:
        found = self.fc((x.sqrt() if self.root else x).flatten(1))
        found = found if self.root else found + self.mask
        return found if self.end is None else self.end(found)


@pytest.mark.parametrize("root", [False, True])
@pytest.mark.parametrize("end", [None, lambda y: y.log_softmax(1)], ids=["logits", "log"])
@pytest.mark.filterwarnings("ignore::bitwright.errors.CaptureWarning")
def test_neither_a_huge_logit_nor_a_root_hides_a_difference(root: bool, end: Any) -> None:
    model, other = Masked(root, end), Masked(root, end)
    graph = TorchModel(model).capture(SHAPE).graph
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        other.fc.bias[3] += 0.05
    pictures = PREPROCESS.normalise(np.random.default_rng(1).integers(0, 256, (2, 8, 8, 3), np.uint8))
    expect_faithful(TorchModel(model), graph, SHAPE, pictures=pictures)
    with pytest.raises(CaptureError):
        expect_faithful(TorchModel(other), graph, SHAPE, pictures=pictures)
    prepare(model, preprocess=PREPROCESS)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what torch.compile imports
def test_a_part_that_is_compiled_is_run_as_it_is() -> None:
    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.compile(Logits())

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.inner(x)
            return found

    prepare(Around(), preprocess=PREPROCESS)
