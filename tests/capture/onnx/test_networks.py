"""Whole networks: batches, layouts and preprocessing as exporters leave them, and what is recognised on the way."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import ModelProto, TensorProto
from torch import Tensor, nn

import bitwright as bw
from bitwright.errors import CaptureError, MissingExtraError, ModelError
from bitwright.models import load_model, onnx_file
from bitwright.training import prepare_qat
from tests.onnx_models import FLOAT, images, model, op, reference, saved, weights
from tests.onnx_networks import SHAPE, captured, expect_equal, loaded, ops_of, small


def test_a_network_is_captured_with_its_names(tmp_path: Path) -> None:
    made = model(*small())
    found = loaded(made, tmp_path)
    expect_equal(found, made, images())
    graph = captured(found)
    assert ops_of(graph) == ["conv2d", "global_avg_pool2d", "reshape", "linear"]
    assert [graph.nodes[0].name, graph.nodes[-1].name] == ["stem", "fc"]
    assert found.preprocess is None
    assert found.stem is not None
    assert found.stem.size == (8, 8)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_batch_that_was_fixed_is_freed(batch: int, tmp_path: Path) -> None:
    nodes, tensors = small()
    nodes[3] = op("Reshape", "p to", "f")
    made = model(nodes, tensors | {"to": np.array([batch, 4])}, (batch, *SHAPE))
    found = loaded(made, tmp_path)
    x = images(batch)
    expect_equal(found, made, x)
    again = found.float_model.predict(np.concatenate([x, x, x]))
    np.testing.assert_allclose(again, np.tile(reference(made, x), (3, 1)), rtol=1e-4, atol=1e-5)


def test_a_batch_that_is_not_first_is_found_again(tmp_path: Path) -> None:
    """Tokens [T, 1, C] parted into heads [T, 1 * heads, D], as torch's attention is exported."""
    nodes = [
        *(op("Reshape", "x a", "t"), op("Transpose", "t", "m", perm=[2, 0, 1]), op("Reshape", "m b", "h")),
        *(op("Transpose", "h", "g", perm=[1, 0, 2]), op("Reshape", "g c", "k")),
        *(op("ReduceMean", "k", "f", axes=[1], keepdims=0), op("MatMul", "f w", "y")),
    ]  # fmt: skip
    sizes = {"a": np.array([1, 6, 32]), "b": np.array([32, 2, 3]), "c": np.array([1, 64, 3])}
    made = model(nodes, sizes | weights(w=(3, 5)), (1, *SHAPE))
    x = images(3)
    found = loaded(made, tmp_path).float_model.predict(x)
    expected = np.concatenate([reference(made, image[None]) for image in x])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_class_token_is_there_for_each_image(tmp_path: Path) -> None:
    nodes = [
        *(op("Reshape", "x a", "t"), op("Concat", "token t", "s", axis=1), op("Add", "s place", "q")),
        *(op("Gather", "q zero", "f", axis=1), op("MatMul", "f w", "y")),
    ]
    parts = weights(token=(1, 1, 12), place=(1, 17, 12), w=(12, 5))
    made = model(nodes, parts | {"a": np.array([1, 16, 12]), "zero": np.array(0)}, (1, *SHAPE))
    x = images(3)
    expected = np.concatenate([reference(made, image[None]) for image in x])
    np.testing.assert_allclose(loaded(made, tmp_path).float_model.predict(x), expected, rtol=1e-4, atol=1e-5)


def test_half_precision_weights_are_read_as_float32(tmp_path: Path) -> None:
    nodes, tensors = small("h")
    halves = {name: array.astype(np.float16) for name, array in tensors.items()}
    made = model([op("Cast", "x", "h", to=10), *nodes, op("Cast", "y", "z", to=1)], halves)
    found = loaded(made, tmp_path)
    x = images()
    np.testing.assert_allclose(found.float_model.predict(x), reference(made, x), atol=0.01)
    assert all(node.tensors["weight"].dtype == np.float32 for node in captured(found).nodes if "weight" in node.tensors)


def normalised(kind: int, shape: tuple[Any, ...], planes: bool) -> ModelProto:
    """Pixels, H, W, C or C, H, W, that the graph itself casts, centres and divides."""
    nodes, tensors = small("d" if planes else "t")
    per = (3, 1, 1) if planes else (3,)
    mean, std = np.array([120, 110, 100], np.float32).reshape(per), np.array([60, 50, 40], np.float32).reshape(per)
    first = [op("Cast", "x", "f", to=1), op("Sub", "f mean", "s"), op("Div", "s std", "d")]
    turned = [] if planes else [op("Transpose", "d", "t", perm=[0, 3, 1, 2])]
    # the head has an `f` of its own
    nodes = [*first[:1], *first[1:], *turned, *nodes]
    for node in nodes[:2]:
        node.output[:] = [f"first_{node.output[0]}"]
    nodes[1].input[0], nodes[2].input[0] = "first_f", "first_s"
    return model(nodes, tensors | {"mean": mean, "std": std}, shape, kind=kind)


@pytest.mark.parametrize(("shape", "planes"), [((1, 8, 8, 3), False), (("N", 3, 8, 8), True)])
def test_preprocessing_in_the_graph_becomes_the_artifacts(shape: Any, planes: bool, tmp_path: Path) -> None:
    made = normalised(TensorProto.UINT8, shape, planes)
    found = loaded(made, tmp_path)
    assert found.preprocess == bw.Preprocess(size=8, scale=1, mean=(120, 110, 100), std=(60, 50, 40))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), np.uint8)
    given = pixels.transpose(0, 3, 1, 2) if planes else pixels
    logits = found.float_model.predict(found.preprocess.normalise(pixels))
    np.testing.assert_allclose(logits, reference(made, given), rtol=1e-4, atol=1e-5)
    assert ops_of(captured(found)) == ["conv2d", "global_avg_pool2d", "reshape", "linear"]


def test_preprocessing_of_floats_is_put_behind_what_is_given(tmp_path: Path) -> None:
    made = normalised(TensorProto.FLOAT, (1, 8, 8, 3), planes=False)
    found = loaded(made, tmp_path)
    assert found.preprocess is None
    assert found.stem is not None
    whole = found.stem.behind(bw.Preprocess(size=8, scale=1, mean=10, std=2))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), np.uint8)
    expected = reference(made, (pixels.astype(np.float32) - 10) / 2)
    logits = found.float_model.predict(whole.normalise(pixels))
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)


def test_images_with_their_channels_last_are_turned(tmp_path: Path) -> None:
    """A network that begins with something else than a transposition still gets H, W, C."""
    nodes, tensors = small("t")
    made = model([op("Relu", "x", "a"), op("Transpose", "a", "t", perm=[0, 3, 1, 2]), *nodes], tensors, ("N", 8, 8, 3))
    found = loaded(made, tmp_path)
    x = images()
    expected = reference(made, x.transpose(0, 2, 3, 1))
    np.testing.assert_allclose(found.float_model.predict(x), expected, rtol=1e-4, atol=1e-5)
    assert "conv2d" in ops_of(captured(found))


class Net(nn.Module):
    """A little of what networks have."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.norm, self.act = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.Hardswish()
        self.body, self.pool, self.head = nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.MaxPool2d(2), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.stem(x)))
        return self.head(self.pool(self.body(x) + x).mean((2, 3)))


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_model_that_torch_exported_gives_the_same_integers(dynamo: bool, tmp_path: Path) -> None:
    net, path = Net().eval(), tmp_path / "m.onnx"
    how: dict[str, Any] = {"dynamic_shapes": ({0: torch.export.Dim("batch")},), "verbose": False}
    if not dynamo:
        how = {"input_names": ["x"], "dynamic_axes": {"x": [0]}}
        how |= {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    torch.onnx.export(net, (torch.zeros(2, *SHAPE),), str(path), dynamo=dynamo, opset_version=18, **how)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), np.uint8)
    preprocess = bw.Preprocess(size=8, mean=0.5, std=0.25)
    first, second = (bw.quantize(each, pixels, preprocess=preprocess) for each in (net, load_model(path).float_model))
    assert np.array_equal(bw.Engine(first)(pixels), bw.Engine(second)(pixels))
    assert [node.name for node in first.graph.nodes if "weight" in node.tensors] == [
        node.name for node in second.graph.nodes if "weight" in node.tensors
    ]


def test_a_file_can_be_quantized_by_its_name(tmp_path: Path) -> None:
    """What is given is the preprocessing of the file; what the graph does itself comes behind it."""
    path = saved(normalised(TensorProto.FLOAT, (1, 8, 8, 3), planes=False), tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), np.uint8)
    artifact = bw.quantize(path, pixels, preprocess=bw.Preprocess(size=8, scale=1))
    assert artifact.preprocess.mean == (120, 110, 100)
    assert artifact.preprocess.std == pytest.approx((60, 50, 40))


def test_it_trains_like_any_module(tmp_path: Path) -> None:
    found = loaded(model(*small()), tmp_path)
    preprocess = bw.Preprocess(size=8, mean=0.5, std=0.25)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), np.uint8)
    prepared = prepare_qat(found.float_model, preprocess=preprocess, images=pixels)
    parameters = [p for p in prepared.parameters() if p.requires_grad]
    prepared.train()(torch.from_numpy(preprocess.normalise(pixels))).sum().backward()
    assert any(p.grad is not None and bool(p.grad.abs().sum()) for p in parameters)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('["a","b","c","d","e"]', "abcde"),
        ("{0: 'a', 1: 'b', 2: 'c', 3: 'd', 4: 'e'}", "abcde"),
        ("a\nb\nc\nd\ne", "abcde"),
        ("[1", None),
    ],
)
def test_names_of_classes_come_from_the_metadata(text: str, expected: str | None, tmp_path: Path) -> None:
    found = loaded(model(*small(), metadata={"names": text}), tmp_path)
    assert (None if found.classes is None else "".join(found.classes.names)) == (expected or None if expected else "[1")


def test_names_of_classes_with_a_key_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the key '0' stands twice"):
        loaded(model(*small(), metadata={"names": '{"0": "a", "1": "b", "0": "c"}'}), tmp_path)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    nodes, tensors = small()
    nodes[1] = op("Hardmax", "c", "r")
    with pytest.raises(ModelError, match=r"the node 'Hardmax_r' \(Hardmax\): no meaning is known"):
        loaded(model(nodes, tensors), tmp_path)
    nodes[1] = op("MaxPool", "c", "r", kernel_shape=[2, 2], storage_order=1)
    with pytest.raises(CaptureError, match=r"the node 'MaxPool_r' \(MaxPool\): storage_order"):
        captured(loaded(model(nodes, tensors), tmp_path))


def test_who_lacks_the_extra_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: Any, **kwargs: Any) -> Any:
        raise ModuleNotFoundError("No module named 'onnx_ir'", name="onnx_ir")

    monkeypatch.setattr("builtins.__import__", missing)
    with pytest.raises(MissingExtraError, match=r"bitwright\[onnx\]"):
        onnx_file.load_onnx(str(tmp_path / "m.onnx"))


def test_weights_beside_a_file_are_refused(tmp_path: Path) -> None:
    path = saved(model(*small()), tmp_path)
    with pytest.raises(ModelError, match="holds its own weights"):
        load_model(path, tmp_path / "w.safetensors")


def test_text_lines_are_told_as_by_onnxruntime(data_dir: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    path = data_dir / "onnx" / "textline-orientation.onnx"
    preprocess = bw.Preprocess(size=(48, 192), mean=0.5, std=0.5)
    batch = next(bw.open_source(data_dir / "text-lines-test.csv").batches(preprocess, 40)).images
    x = preprocess.normalise(batch)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    expected = session.run(None, {"x": x})[0]
    assert np.abs(load_model(path).float_model.predict(x) - expected).max() < 1e-5


INTEGERS = {
    "difference": ([op("Sub", "x k", "i"), op("Cast", "i", "a", to=FLOAT)], TensorProto.UINT8),
    "product": ([op("Mul", "x k", "i"), op("Cast", "i", "a", to=FLOAT)], TensorProto.UINT8),
    "quotient": ([op("Div", "x k", "i"), op("Cast", "i", "a", to=FLOAT)], TensorProto.UINT8),
    "signed": ([op("Cast", "x", "i", to=TensorProto.INT8), op("Cast", "i", "a", to=FLOAT)], TensorProto.UINT8),
    "true": ([op("Cast", "x", "i", to=TensorProto.BOOL), op("Cast", "i", "a", to=FLOAT)], TensorProto.UINT8),
    "cut off": ([op("Cast", "x", "i", to=TensorProto.INT32), op("Cast", "i", "a", to=FLOAT)], FLOAT),
}


@pytest.mark.parametrize("case", INTEGERS)
def test_integers_that_wrap_around_or_cut_off_are_refused(case: str, tmp_path: Path) -> None:
    before, kind = INTEGERS[case]
    nodes, tensors = small("a")
    made = model([*before, *nodes], {**tensors, "k": np.array(100, np.uint8)}, kind=kind)
    with pytest.raises((ModelError, CaptureError), match=r"computes in UINT8|a conversion to (INT8|BOOL|INT32)"):
        loaded(made, tmp_path).float_model.capture(SHAPE)


def test_wide_integers_are_real_numbers(tmp_path: Path) -> None:
    nodes, tensors = small("a")
    before = [op("Cast", "x", "w", to=TensorProto.INT32), op("Sub", "w k", "i"), op("Cast", "i", "a", to=FLOAT)]
    found = loaded(
        model([*before, *nodes], {**tensors, "k": np.array(128, np.int32)}, kind=TensorProto.UINT8), tmp_path
    )
    assert found.preprocess == bw.Preprocess(size=8, scale=1, mean=128, std=1)


def test_a_dropout_that_is_always_on_is_refused(tmp_path: Path) -> None:
    nodes, tensors = small("d")
    for on in (True, False):
        made = model(
            [op("Dropout", "x ratio on", "d"), *nodes],
            {**tensors, "ratio": np.array(0.5, np.float32), "on": np.array(on)},
        )
        if on:
            with pytest.raises(CaptureError, match="always on"):
                loaded(made, tmp_path).float_model.capture(SHAPE)
        else:
            loaded(made, tmp_path).float_model.capture(SHAPE)
