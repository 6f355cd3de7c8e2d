"""The prepared model: its calls, its training, and that eval mode is always the integers of this moment."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.engine import Engine
from bitwright.errors import BitwrightError, CalibrationError, EngineError
from bitwright.images.preprocess import Preprocess
from bitwright.prepared import PreparedModel
from bitwright.quantization import calibrate, convert, prepare
from bitwright.schemes import SCHEMES
from tests.networks import assert_equal_codes, pictures

PREPROCESS = Preprocess(size=8, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
IMAGES = pictures(PREPROCESS, 12)
REALS = torch.from_numpy(PREPROCESS.normalise(IMAGES))


class Net(nn.Module):
    """A small residual network, with batch norms or without."""

    def __init__(self, norms: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=not norms)
        self.conv = nn.Conv2d(8, 8, 3, padding=1, bias=not norms)
        self.norm1 = nn.BatchNorm2d(8) if norms else nn.Identity()
        self.norm2 = nn.BatchNorm2d(8) if norms else nn.Identity()
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.norm1(self.stem(x)))
        x = F.hardswish(self.norm2(self.conv(x)) + x)
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def make(norms: bool = True, recipe: str = "w8a8", model: nn.Module | None = None) -> PreparedModel:
    prepared = prepare(model or Net(norms), preprocess=PREPROCESS, recipe=recipe)
    calibrate(prepared, IMAGES, range="minmax")
    return prepared


def engine_logits(prepared: PreparedModel) -> np.ndarray:
    return Engine(convert(prepared))(IMAGES)


def logits(prepared: PreparedModel) -> np.ndarray:
    with torch.no_grad():
        found: np.ndarray = prepared.eval()(REALS).numpy()
    return found


# --- calls ------------------------------------------------------------------------------------------------------------


def test_it_is_called_like_the_original() -> None:
    prepared = make()
    assert not prepared.training
    found = prepared(REALS[:5])
    assert (found.shape, found.dtype) == ((5, 4), torch.float32)
    with torch.no_grad():
        expected = Net().eval()(REALS[:5])
    assert (found - expected).abs().max() < 0.05 * expected.abs().max()
    np.testing.assert_array_equal(found.detach().numpy(), Engine(convert(prepared))(IMAGES[:5]))


@pytest.mark.parametrize("train", [False, True])
def test_before_calibration_it_says_what_to_call(train: bool) -> None:
    prepared = prepare(Net(), preprocess=PREPROCESS).train(train)
    for call in (lambda: prepared(REALS), lambda: convert(prepared), prepared.lower):
        with pytest.raises(CalibrationError, match="calibrate"):
            call()


def test_pixels_are_rounded_so_float_noise_does_no_harm() -> None:
    prepared = make()
    noise = torch.rand_like(REALS) * 2 - 1
    step = (1 / 255) / torch.tensor(PREPROCESS.std).reshape(1, 3, 1, 1)
    near, far = REALS + 0.45 * step * noise, REALS + 3 * step * noise
    assert torch.equal(prepared(near), prepared(REALS))
    assert not torch.equal(prepared(far), prepared(REALS))
    assert torch.equal(prepared(REALS.contiguous(memory_format=torch.channels_last)), prepared(REALS))


@pytest.mark.parametrize("norms", [False, True])
@pytest.mark.parametrize("size", [4, 9])
def test_images_of_another_size_are_refused_as_by_the_engine(size: int, norms: bool) -> None:
    """The multipliers of the average over the plane hold for one size alone."""
    prepared = make(norms)
    with pytest.raises(BitwrightError, match=r"8"):
        prepared(torch.zeros(1, 3, size, size))


def test_observing_changes_nothing_but_histograms() -> None:
    prepared = make()
    before = logits(prepared)
    prepared.calibrator.observe(torch.from_numpy(255 - IMAGES))
    np.testing.assert_array_equal(logits(prepared), before)


def test_a_model_that_overflows_is_an_error_that_names_the_layer() -> None:
    model = Net(norms=False)
    with torch.no_grad():
        model.conv.weight.fill_(1e38)
    with pytest.raises(CalibrationError, match="'conv'"):
        make(model=model)


# --- training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["w8a8", "w4a4"])
@pytest.mark.parametrize("norms", [False, True])
def test_every_parameter_gets_a_gradient(norms: bool, recipe: str) -> None:
    prepared = make(norms, recipe).train()
    F.cross_entropy(prepared(REALS), torch.arange(12) % 4).backward()
    parameters = dict(prepared.named_parameters())
    assert len(parameters) == (8 if norms else 6)
    for name, parameter in parameters.items():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_training_reduces_the_loss_and_eval_follows() -> None:
    prepared = make(recipe="w4a4")
    labels = torch.arange(12) % 4
    before = logits(prepared)
    prepared.train()
    optimizer = torch.optim.SGD(prepared.parameters(), 0.2, momentum=0.9)
    losses = []
    for _ in range(25):
        loss = F.cross_entropy(prepared(REALS), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    after = logits(prepared)
    assert not np.array_equal(after, before)
    np.testing.assert_array_equal(after, engine_logits(prepared))
    assert_equal_codes(prepared, IMAGES[:3])


def test_fake_quantization_is_close_to_the_integers() -> None:
    prepared = make(norms=False)
    integers = prepared(REALS)
    fake = prepared.train()(REALS)
    with torch.no_grad():
        exact = Net(norms=False).eval()(REALS)
    assert not torch.equal(fake, exact)
    assert (fake - integers).abs().max() < 0.02 * exact.abs().max()


class Scales(nn.Module):
    """Multiplication by and addition of numbers: they are no batch norms, though they are captured as such."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(F.relu(self.conv(x) * 3 + 2).mean((2, 3)))
        return logits


def test_numbers_are_not_statistics() -> None:
    """In train mode, x * 3 + 2 is what it was; it has nothing to normalise and nothing to learn."""
    prepared = make(model=Scales())
    integers = prepared(REALS)
    fake = prepared.train()(REALS)
    assert (fake - integers).abs().max() < 0.02 * integers.abs().max()
    np.testing.assert_array_equal(logits(prepared), integers.detach().numpy())
    assert len(dict(prepared.named_parameters())) == 4


# --- eval is the integers of this moment ------------------------------------------------------------------------------


def pass_in_train_mode(prepared: PreparedModel) -> None:
    with torch.no_grad():
        prepared.train()(REALS + 1)


def scale_in_no_grad(prepared: PreparedModel) -> None:
    with torch.no_grad():
        prepared.layer("fc").tensors()["weight"].mul_(2)


def scale_data(prepared: PreparedModel) -> None:
    prepared.layer("fc").tensors()["weight"].data.mul_(2)


def set_from_a_vector(prepared: PreparedModel) -> None:
    vector = nn.utils.parameters_to_vector(prepared.parameters())
    nn.utils.vector_to_parameters(vector * 1.5, prepared.parameters())


def calibrate_again(prepared: PreparedModel) -> None:
    calibrate(prepared, np.zeros_like(IMAGES), range="mse")


def load_a_state(prepared: PreparedModel) -> None:
    state = prepared.state_dict()
    prepared.load_state_dict({**state, "layers./fc.weight": 2 * state["layers./fc.weight"]})


def narrow_an_edge(prepared: PreparedModel) -> None:
    quantizer = prepared.quantizer("stem")
    assert quantizer is not None
    quantizer.scheme = "uint4"


CHANGES = (
    pass_in_train_mode,
    narrow_an_edge,
    scale_in_no_grad,
    scale_data,
    set_from_a_vector,
    calibrate_again,
    load_a_state,
)


@pytest.mark.parametrize("change", CHANGES)
def test_eval_follows_every_change(change: Callable[[PreparedModel], None]) -> None:
    """However parameters, statistics or scales were changed, what is measured is what `convert` would ship."""
    prepared = make()
    before = logits(prepared)
    change(prepared)
    after = logits(prepared)
    np.testing.assert_array_equal(after, engine_logits(prepared))
    assert not np.array_equal(after, before)


def test_calibrating_in_train_mode_is_calibrating() -> None:
    """The mode is kept, the batch norms' statistics are not touched, and the artifact is the same."""
    prepared = prepare(Net(), preprocess=PREPROCESS).train()
    before = {name: buffer.clone() for name, buffer in prepared.named_buffers() if "bn_" in name}
    calibrate(prepared, IMAGES, range="minmax")
    assert prepared.training
    assert len(before) == 4
    assert all(torch.equal(prepared.get_buffer(name), buffer) for name, buffer in before.items())
    assert convert(prepared).data == convert(make()).data


def test_calibrating_again_forgets_what_was_seen_before() -> None:
    dark, bright = IMAGES // 8, 255 - IMAGES // 8
    again, fresh = (prepare(Net(), preprocess=PREPROCESS) for _ in range(2))
    calibrate(again, dark)
    assert calibrate(again, bright) == calibrate(fresh, bright)
    assert convert(again).data == convert(fresh).data


@pytest.mark.parametrize("training", [False, True])
def test_pixels_give_what_they_give_normalised(training: bool) -> None:
    prepared = make().train(training)
    images = torch.from_numpy(IMAGES)
    for node in prepared.graph.nodes:
        prepared.layer(node.name).momentum = None  # or each pass in train mode would move the statistics
    assert torch.equal(prepared.forward_pixels(images), prepared(REALS))
    if training:
        prepared.forward_pixels(images).sum().backward()
        gradient = prepared.layer("fc").tensors()["weight"].grad
        assert gradient is not None
        assert gradient.abs().sum() > 0
    for wrong in (images.float(), images[0], images.movedim(3, 1)):
        with pytest.raises(EngineError, match=r"expected uint8 images of \[N, \d+, \d+, 3\], found"):
            prepared.forward_pixels(wrong)
    with pytest.raises(CalibrationError, match="no ranges yet"):
        prepare(Net(), preprocess=PREPROCESS).train(training).forward_pixels(images)


# --- states and copies ------------------------------------------------------------------------------------------------


def test_a_state_dict_brings_everything_to_a_fresh_model() -> None:
    trained = make(recipe="w4a4")
    pass_in_train_mode(trained)
    scale_in_no_grad(trained)
    fresh = prepare(Net(), preprocess=PREPROCESS, recipe="w4a4")
    fresh.load_state_dict(trained.state_dict())
    np.testing.assert_array_equal(logits(fresh), engine_logits(trained))
    assert convert(fresh).data == convert(trained).data


def test_loading_a_state_replaces_the_integers_computed_before() -> None:
    first, second = make(), make(model=Net())
    scale_in_no_grad(second)
    assert not np.array_equal(logits(first), logits(second))
    first.load_state_dict(second.state_dict())
    np.testing.assert_array_equal(logits(first), logits(second))
    np.testing.assert_array_equal(logits(first), engine_logits(first))


def test_a_deep_copy_lives_on_its_own() -> None:
    prepared = make()
    before = logits(prepared)
    twin = copy.deepcopy(prepared)
    np.testing.assert_array_equal(logits(twin), before)
    scale_in_no_grad(twin)
    assert not np.array_equal(logits(twin), before)
    np.testing.assert_array_equal(logits(twin), engine_logits(twin))
    np.testing.assert_array_equal(logits(prepared), before)


def test_training_leaves_the_original_alone() -> None:
    model = Net()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    prepared = make(model=model)
    pass_in_train_mode(prepared)
    scale_in_no_grad(prepared)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


# --- rounding -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["w8a8", "w2a4"])
def test_codes_that_were_set_are_the_ones_that_run_until_the_next_calibration(recipe: str) -> None:
    prepared = make(recipe=recipe)
    before = convert(prepared).data
    wanted = {}
    for seed, name in enumerate(("stem", "conv", "fc")):
        layer = prepared.layer(name)
        assert layer.quantizer is not None
        codes = SCHEMES[layer.quantizer.scheme]
        shape = layer.tensors()["weight"].shape
        wanted[name] = torch.randint(codes.lo, codes.hi + 1, shape, generator=torch.Generator().manual_seed(seed))
        layer.set_codes(wanted[name])
    lowered = prepared.lower()
    for name, found in wanted.items():
        np.testing.assert_array_equal(lowered[name].tensors["weight"], found)
    assert_equal_codes(prepared, IMAGES)
    loaded = make(recipe=recipe)
    loaded.load_state_dict(prepared.state_dict())
    assert convert(loaded).data == convert(prepared).data
    calibrate(prepared, IMAGES, range="minmax")
    assert convert(prepared).data == before


# --- autocast, export, compile ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_changes_no_integer(dtype: torch.dtype) -> None:
    prepared = make(recipe="w4a4")
    expected = prepared(REALS)
    with torch.autocast("cpu", dtype):
        found = prepared(REALS)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


@pytest.mark.parametrize("strict", [False, True])
def test_it_can_be_exported(strict: bool) -> None:
    prepared = make()
    program = torch.export.export(prepared, (REALS,), strict=strict)
    assert torch.equal(program.module()(REALS), prepared(REALS))


def test_it_can_be_compiled_and_follows_training_and_eval() -> None:
    prepared = make()
    compiled = torch.compile(prepared, backend="aot_eager", fullgraph=True)
    before = compiled(REALS)
    assert torch.equal(before, prepared(REALS))
    scale_in_no_grad(prepared.train())
    prepared.eval()
    assert torch.equal(compiled(REALS), prepared(REALS))
    assert not torch.equal(prepared(REALS), before)


def test_what_has_no_ranges_is_not_traced() -> None:
    with pytest.raises(CalibrationError, match=r"prepared.eval\(\) before tracing"):
        torch.export.export(prepare(Net(), preprocess=PREPROCESS), (REALS,))
