"""What cannot be captured ends in a CaptureError that names the op, the module path and the user's source line."""

import inspect
import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.capture import capture
from bitwright.errors import CaptureError
from bitwright.prepared.float_graph import FloatGraph

SHAPE = (3, 8, 8)


class Inner(nn.Module):
    """A convolution, and a function that a test passes in."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.conv(x))


class Net(nn.Module):
    """`Inner` as the module stages.1, then a head."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.stages = nn.Sequential(nn.Identity(), Inner(function))
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(self.stages(x).mean((2, 3)))
        return y


def refused(model: nn.Module, shape: tuple[int, ...] = SHAPE) -> str:
    with pytest.raises(CaptureError) as found:
        capture(model.eval(), shape)
    return str(found.value)


def line_of(function: Callable[..., object], offset: int = 0) -> str:
    return f"{__file__}:{inspect.getsourcelines(function)[1] + offset}"


def assert_located(message: str) -> None:
    """The op is named, its module, and the line of the module's forward."""
    assert "aten." in message
    assert "in module: stages.1" in message
    assert f"at {line_of(Inner.forward, 1)}" in message


UNMAPPED = {
    "sort": lambda x: x.sort(3)[0],
    "adaptive_max_pool3d": lambda x: F.adaptive_max_pool3d(x.unsqueeze(2), (1, 3, 3)).squeeze(2),
    "avg_pool3d": lambda x: F.avg_pool3d(x.unsqueeze(2), (1, 2, 2)).squeeze(2),
    "scaled_dot_product_attention": lambda x: F.scaled_dot_product_attention(x, x, x, scale=-1.0),
    "cumprod": lambda x: x.cumprod(1),
    "fft_fft2": lambda x: torch.fft.fft2(x).real,
    "native_dropout": lambda x: F.dropout(x, 0.5, True),
    "maximum": lambda x: torch.maximum(x, torch.arange(4.0).reshape(4, 1, 1)),
}


@pytest.mark.parametrize("op", UNMAPPED)
def test_an_op_without_a_mapping_is_located(op: str) -> None:
    message = refused(Net(UNMAPPED[op]))
    assert re.search(rf"\baten\.\w*{op}", message)
    assert_located(message)


REASONS = {
    "topk": (lambda x: x.masked_fill(x < x.topk(2, 3)[0][..., -1:], 0.0), "the order of all of them"),
    "median": (lambda x: x.median(3, keepdim=True)[0], "the order of all of them"),
    "argmax": (lambda x: x.argmax(3, keepdim=True).float(), "places"),
    "prod": (lambda x: x.flatten(1).prod(1).view(-1, 1, 1, 1).expand(-1, 4, 1, 1), "at most 64"),
}


@pytest.mark.parametrize("op", REASONS)
def test_what_no_exact_and_cheap_op_computes_is_refused_with_the_reason(op: str) -> None:
    function, reason = REASONS[op]
    message = refused(Net(function))
    assert f"aten.{op}." in message
    assert reason in message
    assert_located(message)


def test_an_op_inside_a_module_of_torch_is_located_in_the_users_code() -> None:
    """The line in torch/nn/modules helps nobody; the one that calls the module does."""

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.AdaptiveMaxPool3d(3)
            self.fc = nn.Linear(27, 5)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.fc(self.pool(x).flatten(1))
            return y

    message = refused(Outer())
    assert "aten.adaptive_max_pool3d" in message
    assert "in module: pool" in message
    assert f"at {line_of(Outer.forward, 1)}" in message


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.cat([x, x], 0),
        lambda x: x[:1] * x,
        lambda x: x - x.mean(0, keepdim=True),
        lambda x: x.permute(1, 0, 2, 3).softmax(1).permute(1, 0, 2, 3),
        lambda x: x.select(0, 0).unsqueeze(0) * x,
        lambda x: x + x.flip(0),
    ],
    ids=["cat", "slice", "mean", "permute", "select", "flip"],
)
def test_an_op_along_the_batch_is_located(function: Callable[[Tensor], Tensor]) -> None:
    assert_located(refused(Net(function)))


def test_a_slice_of_the_whole_batch_is_nothing_or_an_error() -> None:
    try:
        capture(Net(lambda x: x[: x.size(0)]).eval(), SHAPE)
    except CaptureError as error:
        assert "aten.slice" in str(error)


@pytest.mark.parametrize("bound", ["clamp_min", "clamp_max"])
def test_one_sided_clamps_are_captured_or_refused_by_name(bound: str) -> None:
    try:
        graph = capture(Net(lambda x: getattr(x, bound)(0.25)).eval(), SHAPE)
    except CaptureError as error:
        assert f"aten.{bound}" in str(error)
    else:
        clamps = [node.attrs["clamp"] for node in graph.nodes if node.op == "clamp"]
        assert clamps == [(0.25, None) if bound == "clamp_min" else (None, 0.25)]


def test_a_constant_that_widens_the_image_repeats_it() -> None:
    class Widen(nn.Module):
        gain: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("gain", torch.ones(1, 3, 1, 1))
            self.fc = nn.Linear(192, 5)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.fc((x * self.gain).flatten(1))
            return y

    model, images = Widen().eval(), torch.randn(2, 1, 8, 8)
    assert torch.allclose(FloatGraph(capture(model, (1, 8, 8)))(images), model(images), atol=1e-5)


# --- control flow, inputs, outputs, dtypes ----------------------------------------------------------------------------


def branch(x: Tensor) -> Tensor:
    if x.sum() > 0:
        return x
    return -x


def test_control_flow_that_depends_on_data() -> None:
    message = refused(Net(branch))
    assert "depends on the data" in message
    assert line_of(branch, 1) in message


class TwoInputs(nn.Module):
    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        return (image * mask).flatten(1)


def test_several_inputs_are_listed() -> None:
    message = refused(TwoInputs())
    assert "image, mask" in message
    assert line_of(TwoInputs.forward) in message


def test_a_second_input_with_a_default_does_no_harm() -> None:
    class Optional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(192, 5)

        def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
            y: Tensor = self.fc((x if mask is None else x * mask).flatten(1))
            return y

    assert capture(Optional().eval(), SHAPE).values["fc"].shape == (5,)


class FixedBatch(nn.Module):
    def __init__(self, batch: int) -> None:
        super().__init__()
        self.batch = batch
        self.fc = nn.Linear(192, 5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(x.view(self.batch, 192))
        return y


@pytest.mark.parametrize("batch", [2, 4])
def test_a_fixed_batch_size(batch: int) -> None:
    message = refused(FixedBatch(batch))
    assert "FixedBatch" in message
    assert "batch" in message.lower() or str(batch) in message


OUTPUTS = {
    "planes": lambda net, x: net.stages(x),
    "two": lambda net, x: (net.fc(net.stages(x).mean((2, 3))), net.stages(x)),
    "one number": lambda net, x: net.fc(net.stages(x).mean((2, 3)))[:, 0],
    "the image": lambda net, x: x,
    "a constant": lambda net, x: net.fc.weight,
}


@pytest.mark.parametrize("output", OUTPUTS)
def test_an_output_that_is_not_logits(output: str) -> None:
    class Other(Net):
        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = OUTPUTS[output](self, x)
            return y

    assert re.search("expected logits|say by output=|not computed from its input", refused(Other(F.relu)))


def test_a_model_that_takes_another_shape() -> None:
    assert "Net" in refused(Net(F.relu), (1, 8, 8))


def test_an_error_leaves_the_model_as_it_was() -> None:
    model = Net(lambda x: x.cumprod(1)).train()
    model.fc.eval()
    with pytest.raises(CaptureError):
        capture(model, SHAPE)
    assert [model.get_submodule(name).training for name in ("", "stages.1.conv", "fc")] == [True, True, False]


# --- randomness, weights ----------------------------------------------------------------------------------------------

RANDOM = {
    "dropout": lambda x: F.dropout(x, 0.5),
    "dropout2d": lambda x: F.dropout2d(x, 0.5),
    "alpha_dropout": lambda x: F.alpha_dropout(x, 0.5, True),
    "rrelu": lambda x: F.rrelu(x, training=True),
    "noise": lambda x: x + torch.randn_like(x),
    "noise of a fixed size": lambda x: x + torch.rand(1),
}


@pytest.mark.parametrize("kind", RANDOM)
def test_what_is_random_in_eval_mode_is_refused_and_located(kind: str) -> None:
    message = refused(Net(RANDOM[kind]))
    assert "draws random numbers each time it runs" in message
    assert_located(message)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["stages.1.conv.weight", "fc.bias"])
def test_a_weight_that_is_not_finite_is_named(name: str, value: float) -> None:
    model = Net(F.relu)
    with torch.no_grad():
        model.get_parameter(name).view(-1)[1] = value
    message = refused(model)
    assert message.startswith(f"{name} holds numbers that are not finite (NaN or infinite): 1 of ")
    assert "range" not in message
    assert "image" not in message


def test_weights_that_are_not_there_are_named() -> None:
    with torch.device("meta"):
        model = Net(F.relu)
    assert re.search(r"(weight|bias) is on the device 'meta' and has no numbers", refused(model))


def test_torch_logs_nothing_before_the_error(capfd: pytest.CaptureFixture[str]) -> None:
    message = refused(Net(branch))
    assert capfd.readouterr() == ("", "")
    assert len(message.splitlines()) <= 3


@pytest.mark.parametrize("container", [nn.Module, nn.ModuleList, nn.ModuleDict])
def test_what_has_no_forward_is_refused(container: type[nn.Module]) -> None:
    assert refused(container()).startswith(f"{container.__name__} has no forward, so it cannot be run")


class Star(Net):
    def forward(self, *images: Tensor) -> Tensor:
        return super().forward(*images)


def test_a_forward_may_take_a_star() -> None:
    assert capture(Star(F.relu).eval(), SHAPE).nodes


def test_a_variance_that_is_none_is_refused() -> None:
    model = Net(F.relu)
    norm = nn.BatchNorm2d(4)
    assert norm.running_var is not None
    norm.running_var[1] = -1
    model.stages.append(norm)
    message = refused(model)
    assert "its variance is negative, or 0 without an eps, in 1 of 4 channels" in message
    assert "in module: stages.2" in message
