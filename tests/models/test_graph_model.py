"""A float model that is nothing but a graph, and one of somebody's own: everything that takes a float model takes them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

import bitwright as bw
from bitwright.artifact import from_bytes
from bitwright.capture import Captured, capture, fuse
from bitwright.capture.builder import Builder
from bitwright.capture.draft import Constant, Site
from bitwright.errors import CaptureError, CaptureWarning, GraphError, ModelError
from bitwright.evaluation import float_predictor, outputs_of
from bitwright.graph import INPUT, Graph, Shape
from bitwright.images.sources import ImageSource
from bitwright.models import FloatModel, GraphModel, float_model
from bitwright.prepared.float_graph import FloatGraph
from bitwright.training import Options, prepare_qat

PREPROCESS = bw.Preprocess(size=8, mean=(0.5, 0.4, 0.3), std=(0.3, 0.2, 0.25))
SHAPE = (3, 8, 8)
Pixels = npt.NDArray[np.uint8]


def network() -> Graph:
    """A convolution, a residual, two outputs; as a reader of another format would write it."""
    rng = np.random.default_rng(0)

    def weight(*shape: int) -> Constant:
        return Constant(rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32), learned=True)

    b = Builder(SHAPE)
    b.site = Site("stem", whole=True)
    x = b.clamp(b.conv2d(INPUT, weight(8, 3, 3, 3), weight(8), padding=(1, 1, 1, 1)), 0, None)
    b.site = Site("body", whole=True)
    x = b.add(b.conv2d(x, weight(8, 8, 1, 1)), x)
    b.site = Site("head", whole=True)
    features = b.mean(x, [1, 2])
    return b.finish({"logits": b.linear(features, weight(5, 8), weight(5)), "features": features})


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    return np.random.default_rng(1).integers(0, 256, (64, *PREPROCESS.shape), np.uint8)


def source_of(images: Pixels, labels: npt.NDArray[np.int64], folder: Path) -> ImageSource:
    np.savez(folder / "set.npz", images=images, labels=labels)
    return bw.open_source(folder / "set.npz")


class Own:
    """What somebody may write for a format that we never heard of."""

    def __init__(self) -> None:
        self.seen = 0

    def capture(self, shape: Shape) -> Captured:
        assert shape == SHAPE
        return Captured(network(), ("the final softmax is left out",))

    def predict(self, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        self.seen += len(images)
        return GraphModel(Captured(network())).predict(images)


MODELS: dict[str, Callable[[], FloatModel]] = {"graph": lambda: float_model(network()), "own": Own}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.filterwarnings("ignore:the final softmax")
def test_it_is_quantized_evaluated_and_searched(kind: str, pixels: Pixels, tmp_path: Path) -> None:
    model = MODELS[kind]()
    assert isinstance(model, FloatModel)
    assert not isinstance(model, nn.Module)
    assert outputs_of(model, PREPROCESS) == 5
    labels = float_predictor(model, PREPROCESS)(pixels).argmax(axis=1)
    source = source_of(pixels, labels, tmp_path)
    artifact = bw.quantize(model, pixels, preprocess=PREPROCESS)
    assert set(artifact.graph.others) == {"features"}
    result = bw.evaluate(artifact, source, reference=model)
    assert (result.reference_top1, result.images) == (100.0, 64)
    assert result.agreement is not None
    assert result.agreement > 90
    assert bw.evaluate(model, source, preprocess=PREPROCESS).top1 == 100.0
    measured = bw.sensitivity(model, pixels[:16], preprocess=PREPROCESS, bits=(8, 2), kinds=["weights"], latency=False)
    assert {found.layer for found in measured.found} == {"stem", "body", "head_2"}
    within = bw.quantize_within(model, source, preprocess=PREPROCESS, max_drop=50, calibrate=32)
    assert within.verified.drop.images == 32


def test_a_graph_runs_itself_as_the_module_that_it_was_captured_from(pixels: Pixels) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 4)
    ).eval()
    graph = capture(model, SHAPE)
    images = PREPROCESS.normalise(pixels[:7])
    expected = float_model(model).predict(images)
    for one in (graph, fuse(graph)):
        np.testing.assert_allclose(float_model(one).predict(images), expected, rtol=1e-4, atol=1e-5)
    tensors = sum(tensor.nbytes for node in graph.nodes for tensor in node.tensors.values())
    assert float_model(graph).float_bytes == float_model(model).float_bytes == tensors  # type: ignore[attr-defined]


def test_what_was_left_out_is_said() -> None:
    with pytest.warns(CaptureWarning, match="the final softmax is left out"):
        prepared = bw.prepare(Own(), preprocess=PREPROCESS)
    assert prepared.notes == ("the final softmax is left out",)


def test_an_output_of_a_graph_by_name(pixels: Pixels) -> None:
    images = PREPROCESS.normalise(pixels[:4])
    graph = network()
    features = float_model(graph, "features")
    assert features.predict(images).shape == (4, 8)
    prepared = bw.prepare(graph, preprocess=PREPROCESS, output=("logits", "features"))
    assert (prepared.graph.values[prepared.graph.output].shape, set(prepared.graph.others)) == ((5,), {"features"})
    turned = bw.prepare(graph, preprocess=PREPROCESS, output=("features", "logits")).graph
    assert turned.values[turned.output].shape == (8,)
    assert (turned.values[turned.others["logits"]].shape, list(turned.named_outputs)) == ((5,), ["features", "logits"])
    assert float_model(features, "logits").predict(images).shape == (4, 5)
    with pytest.raises(CaptureError, match="no output head; it has logits, features"):
        bw.prepare(graph, preprocess=PREPROCESS, output="head")
    planes = replace(graph, others={"maps": "stem_1"})
    with pytest.raises(
        CaptureError, match=r"expected logits of \[N, classes\], found the output 'stem_1' of \[N, 8, 8, 8\]"
    ):
        float_model(planes, "maps").predict(images)
    with pytest.raises(ModelError, match="Own chooses its outputs itself; expected output=None"):
        bw.prepare(Own(), preprocess=PREPROCESS, output="features")


def pair() -> Graph:
    """A graph of two inputs, which is no classifier."""
    b = Builder({"left": (2, 3, 3), "right": (2, 3, 3)})
    return b.finish({"logits": b.mean(b.sub("left", "right"), [1, 2])})


def test_a_graph_of_two_inputs_runs_but_is_no_classifier() -> None:
    graph = pair()
    left, right = torch.rand(2, 4, 2, 3, 3)
    assert graph.inputs == ("left", "right")
    assert graph.pruned().values.keys() == graph.values.keys()
    torch.testing.assert_close(FloatGraph(graph)(left, right), (left - right).mean((2, 3)))
    with pytest.raises(CaptureError, match="expected one input, the image, found 2: 'left', 'right'"):
        float_model(graph).capture((2, 3, 3))
    with pytest.raises(GraphError, match=r"expected a graph with one input, found 2: \('left', 'right'\)"):
        _ = graph.input


def test_a_float_model_of_somebody_else_has_to_be_a_classifier_too() -> None:
    class Two(Own):
        def capture(self, shape: Shape) -> Captured:
            return Captured(pair())

    with pytest.raises(CaptureError, match="expected one input, the image, found 2"):
        bw.prepare(Two(), preprocess=PREPROCESS)


def test_the_image_may_have_another_name(pixels: Pixels) -> None:
    artifacts = []
    for name in ("input", "photo"):
        b = Builder({name: SHAPE})
        weight = np.random.default_rng(5).normal(0, 0.2, (6, 3, 3, 3)).astype(np.float32)
        x = b.clamp(b.conv2d(b.max_pool2d(name, (2, 2), (2, 2)), Constant(weight)), 0, None)
        graph = b.finish({"logits": b.mean(x, [1, 2])})
        artifacts.append(bw.quantize(graph, pixels, preprocess=PREPROCESS, recipe="w8a8"))
    first, other = artifacts
    assert other.graph.input == "photo"
    again = from_bytes(other.data)
    assert again.graph.inputs == ("photo",)
    assert again.data == other.data
    for backend in ("native", "reference"):
        expected = bw.Engine(first, backend=backend)(pixels)
        np.testing.assert_array_equal(bw.Engine(again, backend=backend)(pixels), expected)
    assert "photo" in bw.Engine(again).trace(pixels[:1])


def test_images_of_another_shape_are_refused() -> None:
    model = float_model(network())
    with pytest.raises(CaptureError, match=r"the graph takes images of \(3, 8, 8\), expected \(3, 9, 8\)"):
        model.capture((3, 9, 8))
    with pytest.raises(ModelError, match=r"expected images of \[N, 3, 8, 8\], found \[2, 3, 9, 8\]"):
        model.predict(np.zeros((2, 3, 9, 8), np.float32))


def test_it_is_trained_and_teaches(pixels: Pixels, tmp_path: Path) -> None:
    prepared = prepare_qat(network(), preprocess=PREPROCESS, images=pixels)
    assert any(parameter.requires_grad for parameter in prepared.parameters())
    own = Own()
    source = source_of(pixels, np.arange(64) % 5, tmp_path)
    options = Options(epochs=1, batch=32, distill=1.0)
    bw.train(network(), source, preprocess=PREPROCESS, recipe="w8a8", teacher=own, options=options)
    assert own.seen > 64
