"""What is taken for a float model: wrappers come off, other types are converted, and what is no model is named."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import bitwright as bw
from bitwright.capture import capture, captured
from bitwright.errors import BitwrightError, CaptureWarning, ModelError
from bitwright.evaluation import float_predictor
from bitwright.graph import Graph
from bitwright.models import float_model
from bitwright.prepared.float_graph import FloatGraph

SHAPE = (3, 6, 6)
PREPROCESS = bw.Preprocess(size=6, mean=0.5, std=0.3)


class Net(nn.Module):
    """A convolution and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(self.conv(x).relu().mean((2, 3)))
        return y


def assert_equal(found: Graph, expected: Graph, rtol: float = 0.0) -> None:
    assert [node.name for node in found.nodes] == [node.name for node in expected.nodes]
    for a, b in zip(found.nodes, expected.nodes, strict=True):
        for key in b.tensors:
            assert a.tensors[key].dtype == np.float32
            np.testing.assert_allclose(a.tensors[key], b.tensors[key], rtol=rtol)


WRAPPERS: dict[str, Callable[[nn.Module], Any]] = {
    "compile": torch.compile,
    "DataParallel": nn.DataParallel,
    "AveragedModel": torch.optim.swa_utils.AveragedModel,
    "all of them": lambda m: torch.compile(nn.DataParallel(torch.optim.swa_utils.AveragedModel(m))),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile's imports
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrappers_come_off(wrapper: str) -> None:
    model = Net()
    assert_equal(capture(WRAPPERS[wrapper](model), SHAPE), capture(model, SHAPE))


def scripted() -> torch.jit.ScriptModule:
    found: torch.jit.ScriptModule = torch.jit.trace(Net().eval(), torch.zeros(1, *SHAPE))
    return found


class Holder:
    """Something that holds a model, as what `load_model` returns does."""

    model = Net()


NO_MODELS: dict[str, tuple[Callable[[], Any], str]] = {
    "None": (lambda: None, "found None"),
    "a class": (lambda: Net, r"found the class Net; pass an instance of it: Net\(...\)"),
    "a path": (lambda: Path("model.pth"), r"model.pth.*; load it first"),
    "a name": (lambda: "torchvision:resnet18", "torchvision:resnet18.*; load it first"),
    "a state dict": (lambda: Net().state_dict(), r"found a dict of 4 tensors; .*load_state_dict"),
    "TorchScript": (scripted, "found a TorchScript module; pass the nn.Module"),
    "a function": (lambda: torch.relu, "found the function 'relu'"),
    "what holds one": (Holder, "found a Holder; pass what it holds, its attribute 'model'"),
    "a number": (lambda: 3, "found int 3"),
}


@pytest.mark.filterwarnings("ignore:.torch.jit")
@pytest.mark.parametrize("kind", NO_MODELS)
def test_what_is_no_model_is_named(kind: str) -> None:
    make, message = NO_MODELS[kind]
    model = make()
    with pytest.raises(ModelError, match=message):
        float_model(model)
    with pytest.raises(ModelError, match=message):
        bw.prepare(model, preprocess=PREPROCESS)
    if kind != "TorchScript":  # which can be run, though not quantized
        with pytest.raises(ModelError, match=message):
            float_predictor(model, PREPROCESS)


def test_a_float_model_is_not_a_prepared_one() -> None:
    images = np.zeros((1, 6, 6, 3), np.uint8)
    with pytest.raises(ModelError, match=r"expected a prepared model, found Net; bitwright.prepare\(model"):
        bw.convert(Net())  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="expected a prepared model, found Net"):
        bw.calibrate(Net(), images)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_model_of_another_type_is_captured_in_float32_with_a_word(dtype: torch.dtype) -> None:
    model = Net().to(dtype)
    with pytest.warns(CaptureWarning, match=f"the model computes in {dtype}; it is captured in torch.float32"):
        found = capture(model, SHAPE)
    assert_equal(found, capture(copy.deepcopy(model).float(), SHAPE))
    assert model.fc.weight.dtype == dtype


class OneBlock(Net):
    """The convolution in bfloat16, the rest in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.conv.bfloat16()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(self.conv(x.bfloat16()).float().relu().mean((2, 3)))
        return y


def test_a_block_in_bfloat16() -> None:
    with pytest.warns(CaptureWarning, match="computes in torch.bfloat16"):
        found = capture(OneBlock(), SHAPE)
    assert_equal(found, capture(Net(), SHAPE), rtol=0.01)


def test_a_model_in_half_precision_predicts() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 3), dtype=np.uint8)
    found, expected = (float_predictor(m, PREPROCESS)(images) for m in (Net().bfloat16(), Net()))
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_a_program_of_another_type() -> None:
    batch = torch.export.Dim("batch")
    example = torch.zeros(2, *SHAPE, dtype=torch.float64)
    program = torch.export.export(Net().double().eval(), (example,), dynamic_shapes=({0: batch},))
    found = captured(program, SHAPE)
    assert found.notes == ("the model computes in torch.float64; it is captured in torch.float32",)
    assert_equal(found.graph, capture(Net(), SHAPE))


class EndsIn(Net):
    """What a test passes in behind the logits."""

    def __init__(self, end: Callable[[Tensor], Tensor], classes: int = 5) -> None:
        super().__init__()
        self.fc, self.end = nn.Linear(4, classes), end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(super().forward(x))


ENDS: dict[str, tuple[Callable[[Tensor], Tensor], int, str]] = {
    "softmax": (lambda y: y.softmax(1), 5, "softmax"),
    "softmax by a module": (nn.Softmax(dim=-1), 5, "softmax"),
    "log softmax": (lambda y: y.log_softmax(1), 5, "log_softmax"),
    "log of softmax": (lambda y: y.softmax(1).log(), 5, "softmax and log"),
    "softmax of planes": (lambda y: y[:, :, None, None].softmax(1).flatten(1), 5, "softmax"),
    "sigmoid of one logit": (torch.sigmoid, 1, "sigmoid"),
}


@pytest.mark.parametrize("case", ENDS)
def test_the_softmax_at_the_end_is_left_out_with_a_note(case: str) -> None:
    end, classes, names = ENDS[case]
    torch.manual_seed(1)
    model = EndsIn(end, classes)
    found = captured(model, SHAPE)
    assert found.notes == (f"the final {names} is left out: the logits in front of it have the same classes",)
    assert "function" not in {node.op for node in found.graph.nodes}
    with pytest.warns(CaptureWarning, match="left out"):
        artifact = bw.quantize(model, np.full((8, 6, 6, 3), 99, np.uint8), preprocess=PREPROCESS)
    assert artifact.provenance["capture"] == list(found.notes)


@pytest.mark.parametrize(
    "end",
    [lambda y: y.softmax(1) * 2, lambda y: torch.cat([y.softmax(1), y], 1), lambda y: (p := y.softmax(1)) * p],
)
def test_a_softmax_that_is_not_the_end_stays(end: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(1)
    model, images = EndsIn(end).eval(), torch.randn(3, *SHAPE)
    found = captured(model, SHAPE)
    assert found.notes == ()
    with torch.no_grad():
        assert torch.allclose(FloatGraph(found.graph)(images), model(images), atol=1e-5)


def test_a_softmax_over_the_batch_is_refused() -> None:
    with pytest.raises(BitwrightError, match=r"aten\.softmax\.int: an operation along the batch axis"):
        capture(EndsIn(lambda y: y.softmax(0)), SHAPE)


def test_a_sigmoid_of_several_logits_stays() -> None:
    found = captured(EndsIn(torch.sigmoid), SHAPE)
    assert found.notes == ()
    assert found.graph[found.graph.output].op == "function"
