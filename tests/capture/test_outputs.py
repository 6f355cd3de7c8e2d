"""Models of several outputs: which are the logits, and the others beside them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bitwright.artifact import from_bytes
from bitwright.capture import capture
from bitwright.capture.outputs import choose, named
from bitwright.engine import Engine
from bitwright.errors import CaptureError
from bitwright.evaluation import evaluate
from bitwright.images.preprocess import Preprocess
from bitwright.models import float_model
from bitwright.quantization import calibrate, convert, prepare, quantize
from tests.networks import assert_equal_codes, pictures

PREPROCESS = Preprocess(size=8, mean=(0.5, 0.4, 0.3), std=(0.3, 0.2, 0.1))


class Pair(NamedTuple):
    logits: Tensor
    features: Tensor


@dataclass
class Record:
    features: Tensor
    logits: Tensor
    loss: Any = None


torch.utils._pytree.register_dataclass(Record, field_names=["features", "logits", "loss"])


class Heads(nn.Module):
    """Two heads, and the features that both read."""

    def __init__(self, pack: Callable[[Tensor, Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.stem, self.one, self.two = nn.Conv2d(3, 6, 3), nn.Linear(6, 4), nn.Linear(6, 3)
        self.pack = pack

    def forward(self, x: Tensor) -> Any:
        maps = torch.relu(self.stem(x))
        features = maps.mean((2, 3))
        return self.pack(self.one(features), self.two(torch.relu(features - 0.1)), maps)


PACKS: dict[str, tuple[Callable[..., Any], Any, tuple[int, ...]]] = {
    "tuple": (lambda one, two, maps: (one, two), "0", (4,)),
    "tuple, the second": (lambda one, two, maps: (one, two), "1", (3,)),
    "dictionary": (lambda one, two, maps: {"a": one, "logits": two}, None, (3,)),
    "dictionary by name": (lambda one, two, maps: {"a": one, "logits": two}, "a", (4,)),
    "named tuple": (lambda one, two, maps: Pair(one, maps), None, (4,)),
    "record": (lambda one, two, maps: Record(maps, two), None, (3,)),
    "nested": (lambda one, two, maps: {"x": (one, [two])}, "x.1.0", (3,)),
    "in a tuple": (lambda one, two, maps: (one,), None, (4,)),
}


@pytest.mark.parametrize("name", PACKS)
def test_the_logits_of_several_outputs(name: str) -> None:
    pack, output, shape = PACKS[name]
    graph = capture(Heads(pack).eval(), (3, 8, 8), output)
    assert graph.values[graph.output].shape == shape
    assert graph.named_outputs == {output or ("0" if name == "in a tuple" else "logits"): graph.output}


def test_outputs_that_are_not_there_or_not_clear_are_refused() -> None:
    model = Heads(lambda one, two, maps: (one, two)).eval()
    with pytest.raises(CaptureError, match=r"outputs 0, 1; say by output= \(--logits\) which one the logits are"):
        capture(model, (3, 8, 8))
    with pytest.raises(CaptureError, match="no output head; it has 0, 1"):
        capture(model, (3, 8, 8), "head")


def test_the_names_in_a_result() -> None:
    assert list(named(Record(torch.zeros(1), torch.zeros(1)))) == ["features", "logits"]
    assert list(named({"a": (1, {"b": 2}), "c": None})) == ["a.0", "a.1.b"]
    assert named(7) == {"logits": 7}
    assert list(choose({"a": 1, "b": 2, "c": 3}, ("c", "a"))) == ["c", "a"]


def test_a_model_of_transformers_whose_output_is_a_record(torchvision: ModuleType, tmp_path: Path) -> None:
    """Its logits are found, beside whatever else it is told to return, and named outputs are kept."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16],
        depths=[1, 1],
        layer_type="basic",
        num_labels=5,
        output_hidden_states=True,
    )
    model = transformers.ResNetForImageClassification(config).eval()
    preprocess, names = Preprocess(size=32, mean=0.5, std=0.3), ("logits", "hidden_states.2")
    images = pictures(preprocess, 24)
    artifact = quantize(model, images, preprocess=preprocess, output=names)
    real = float_model(model, names).predict(preprocess.normalise(images))
    found = Engine(artifact).outputs(images)
    assert {name: value.shape for name, value in found.items()} == {
        "logits": (24, 5),
        "hidden_states.2": (24, 16, 4, 4),
    }
    assert np.abs(found["logits"] - real).max() < 0.05 * np.ptp(real)
    np.savez(tmp_path / "set.npz", images=images, labels=real.argmax(axis=1))
    result = evaluate(artifact, tmp_path / "set.npz", reference=model)
    assert result.reference_top1 == 100.0


def test_two_heads_and_their_features_end_to_end() -> None:
    torch.manual_seed(0)
    model = Heads(lambda one, two, maps: {"logits": one, "two": two, "maps": maps}).eval()
    images = pictures(PREPROCESS, 20)
    prepared = prepare(model, preprocess=PREPROCESS, output=("logits", "two", "maps"))
    calibrate(prepared, images)
    values = assert_equal_codes(prepared, images)
    artifact = from_bytes(convert(prepared).data)
    assert set(artifact.graph.others) == {"two", "maps"}
    with torch.no_grad():
        expected = {k: v.numpy() for k, v in model(torch.from_numpy(PREPROCESS.normalise(images))).items()}
    for backend in ("native", "reference"):
        for threads in (1, 2) if backend == "native" else (None,):
            engine = Engine(artifact, backend=backend, threads=threads)
            found = engine.outputs(images)
            assert list(found) == ["logits", "two", "maps"]
            assert all(value.flags.writeable for value in found.values())
            assert found["logits"].tobytes() == engine(images).tobytes() == values[artifact.graph.output].tobytes()
            for name, value in artifact.graph.others.items():
                np.testing.assert_array_equal(found[name], values[value])
            for name, real in expected.items():
                assert found[name].shape == real.shape
                assert np.abs(found[name] - real).max() < 0.03 * np.abs(real).max() + 0.01, name
            assert [v.shape for v in engine.outputs(images[:0]).values()] == [(0, 4), (0, 3), (0, 6, 6, 6)]


@pytest.mark.parametrize("wanted", [("two",), ("two", "logits", "maps"), ("maps.codes", "two")])
def test_outputs_keep_the_names_that_they_are_asked_for_by(wanted: tuple[str, ...]) -> None:
    """The first one is what a classifier reads; that changes no name, nor that another one may be called "logits"."""
    torch.manual_seed(0)
    model = Heads(lambda one, two, maps: {"logits": one, "two": two, "maps": maps, "maps.codes": one + 1}).eval()
    images = pictures(PREPROCESS, 12)
    artifact = from_bytes(quantize(model, images, preprocess=PREPROCESS, output=wanted, guard=False).data)
    for backend in ("native", "reference"):
        engine = Engine(artifact, backend=backend)
        found = engine.outputs(images)
        assert tuple(found) == wanted
        assert engine(images).tobytes() == found[wanted[0]].tobytes()
    with torch.no_grad():
        expected = {k: v.numpy() for k, v in model(torch.from_numpy(PREPROCESS.normalise(images))).items()}
    for name, values in found.items():
        assert np.abs(values - expected[name]).max() < 0.03 * np.abs(expected[name]).max() + 0.05, name
