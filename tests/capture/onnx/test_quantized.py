"""Quantized files: what they say of scales is kept, to the bit where our arithmetic has it, and what is not kept is named."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from onnx import numpy_helper

import bitwright as bw
from bench.small_onnx import quantized, small
from bitwright.artifact import Artifact
from bitwright.capture.onnx import open_onnx
from bitwright.cli import main
from bitwright.errors import CalibrationError, CaptureWarning, ModelError
from bitwright.export import to_onnx
from bitwright.images.preprocess import Preprocess
from tests.onnx_models import Array, images, model, op, saved

runtime = pytest.importorskip("onnxruntime")
PREPROCESS = Preprocess(size=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
PIXELS = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def float_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "float.onnx"
    small(path)
    return path


def read(path: Path, pixels: Any = None, **how: Any) -> tuple[Artifact, list[str]]:
    """The artifact of a file, and what was said of it."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        made = bw.quantize(path, pixels, **{"preprocess": PREPROCESS, **how})
    return made, [str(one.message) for one in told if issubclass(one.category, CaptureWarning)]


def run(path: Path, x: Array) -> npt.NDArray[np.float32]:
    """ONNX Runtime's logits, with each op in floats between its roundings."""
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    found: npt.NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: x})[0]
    return found


KEPT: dict[str, dict[str, Any]] = {
    "U8S8 per channel": {"activation_type": "QUInt8", "weight_type": "QInt8", "per_channel": True},
    "U8S8 per tensor": {"activation_type": "QUInt8", "weight_type": "QInt8"},
    "S8S8 per channel": {"activation_type": "QInt8", "weight_type": "QInt8", "per_channel": True},
    "S8S8 symmetric": {
        "activation_type": "QInt8",
        "weight_type": "QInt8",
        "extra_options": {"ActivationSymmetric": True},
    },
    "weights of 4 bits": {"activation_type": "QUInt8", "weight_type": "QInt4", "per_channel": True},
}


def by_onnxruntime(float_file: Path, folder: Path, form: str, how: dict[str, Any]) -> Path:
    from onnxruntime.quantization import QuantType

    types = {key: QuantType[how[key]] for key in ("activation_type", "weight_type")}
    quantized(float_file, folder / "q.onnx", form, **{**how, **types})
    return folder / "q.onnx"


@pytest.mark.parametrize(
    ("name", "form"),
    [*((name, "QDQ") for name in KEPT), ("U8S8 per channel", "QOperator"), ("S8S8 symmetric", "QOperator")],
)
def test_a_file_of_onnxruntime_keeps_its_scales(name: str, form: str, float_file: Path, tmp_path: Path) -> None:
    path = by_onnxruntime(float_file, tmp_path, form, KEPT[name])
    made, told = read(path)
    (note,) = told
    assert re.search(r"(\d+) of \1 types of values and the scales of 5 of 5 layers' weights are its own", note)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    codes = {
        key.removesuffix(".weight_quantized"): array for key, array in stored.items() if key.endswith("_quantized")
    }
    for layer in ("first", "second", "side", "fc"):
        weight = made.graph[layer].tensors["weight"].astype(int)
        assert np.array_equal(weight, codes[layer].astype(int).reshape(weight.shape)), layer
    theirs = run(path, PREPROCESS.normalise(PIXELS))
    ours = bw.Engine(made)(PIXELS)
    step = np.median(np.diff(np.unique(theirs)))
    assert (
        np.abs(ours - theirs).max() <= 2.1 * step
    )  # a tenth of a code, in the leaky relu, is often half a code: a tie
    assert (np.abs(ours - theirs) < step / 2).mean() > 0.85
    assert made.provenance["calibration"] == {"images": 0, "range": "the file"}
    assert made.provenance["capture"] == told


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (
            {"activation_type": "QUInt8", "weight_type": "QUInt8"},
            r"whose codes reach further than 127 from their zero point get symmetric ones of their own: .*fc\.weight",
        ),
        (
            {"activation_type": "QUInt16", "weight_type": "QInt8"},
            "values of UINT16 get 8 bits over the same range: x, /Relu_output_0, ",
        ),
    ],
    ids=["asymmetric weights", "16 bits"],
)
def test_what_is_not_kept_is_named(how: dict[str, Any], expected: str, float_file: Path, tmp_path: Path) -> None:
    made, told = read(by_onnxruntime(float_file, tmp_path, "QDQ", how))
    assert any(re.search(expected, note) for note in told), told
    theirs = run(tmp_path / "q.onnx", PREPROCESS.normalise(PIXELS))
    assert np.abs(bw.Engine(made)(PIXELS) - theirs).max() < 0.1 * np.abs(theirs - theirs.mean(0)).max() + 0.01


def test_weights_alone_may_be_quantized(float_file: Path, tmp_path: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(str(float_file), str(tmp_path / "q.onnx"), per_channel=True)
    with pytest.raises(CalibrationError, match=r"no scale for 9 of its values: .*; give images to choose them from"):
        read(tmp_path / "q.onnx")
    made, told = read(tmp_path / "q.onnx", PIXELS)
    assert "0 of 9 types of values and the scales of 5 of 5 layers' weights are its own" in told[0]
    theirs = run(tmp_path / "q.onnx", PREPROCESS.normalise(PIXELS))
    assert np.abs(bw.Engine(made)(PIXELS) - theirs).max() < 0.02


def test_another_recipe_chooses_scales_anew(float_file: Path, tmp_path: Path) -> None:
    path = by_onnxruntime(float_file, tmp_path, "QDQ", KEPT["U8S8 per channel"])
    made, told = read(path, PIXELS, recipe="w4a8")
    assert told == ["the file is quantized; its scales give way to the recipe 'w4a8'"]
    assert made.graph["first"].attrs["weights"] == "int4"
    anew, _ = read(path, PIXELS, keep=False)
    kept, _ = read(path, PIXELS)
    assert anew.graph.values["first"].type != kept.graph.values["first"].type


class Net(torch.nn.Module):
    """With a table, a residual, a concat of two types, and a mean."""

    def __init__(self) -> None:
        super().__init__()
        nn = torch.nn
        self.a, self.norm = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.b, self.c = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.d, self.fc = nn.Conv2d(16, 16, 1), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        f = torch.nn.functional
        x = f.relu(self.norm(self.a(x)))
        x = f.max_pool2d(f.relu(x + self.c(f.hardswish(self.b(x)))), 2)
        x = torch.cat([x, f.relu6(self.d(x))], 1)[:, ::2]
        logits: torch.Tensor = self.fc(x.mean((2, 3)))
        return logits


@pytest.mark.parametrize("takes", ["pixels", "float"])
@pytest.mark.parametrize("recipe", ["w8a8", "w4a8", "w4a4"])
def test_what_bitwright_exports_comes_back(recipe: str, takes: Any, tmp_path: Path) -> None:
    """The same codes, tables and types; multipliers to a unit in the last place, shifts to the rounding of an int32 bias."""
    torch.manual_seed(0)
    pre = Preprocess(size=8, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    made = bw.quantize(Net().eval(), PIXELS, preprocess=pre, recipe=recipe)
    path = saved(to_onnx(made, takes), tmp_path)
    back, told = read(path, preprocess=pre if takes == "float" else Preprocess(size=8, scale=1.0))
    assert told == [
        "the file is quantized: 6 of 6 types of values and the scales of 5 of 5 layers' weights are its own"
    ]
    assert [node.op for node in back.graph.nodes] == [node.op for node in made.graph.nodes]
    for ours, theirs in zip(made.graph.nodes, back.graph.nodes, strict=True):
        types = made.graph.values[ours.name].type, back.graph.values[theirs.name].type
        assert (types[0] is None) == (types[1] is None)
        if types[0] is not None and types[1] is not None:  # of 4 bits, they are stored in 8, and clipped
            assert (types[0].scale, types[0].zero_point) == (types[1].scale, types[1].zero_point)
        assert ours.attrs == theirs.attrs
        for key in ours.tensors:
            expected, found = ours.tensors[key], theirs.tensors[key]
            if key == "b":
                assert np.abs(expected - found).max() <= 0.51 * np.abs(ours.tensors["m"]).max() + 1e-5
            elif key in ("m", "m_r"):
                np.testing.assert_allclose(found, expected, rtol=3e-7)
            else:
                assert np.array_equal(found, expected), (ours.name, key)
    expected, found = bw.Engine(made)(PIXELS), bw.Engine(back)(PIXELS)
    assert (expected.argmax(1) == found.argmax(1)).all()


class Tokens(torch.nn.Module):
    """With a class token, which the exported model repeats for each image; its scale comes from images, as any constant's."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.token = torch.nn.Conv2d(3, 8, 2, 2), torch.nn.Parameter(torch.randn(1, 1, 8))
        self.mixed, self.fc = torch.nn.Linear(8, 8), torch.nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(x.shape[0], -1, -1), tokens], 1)
        logits: torch.Tensor = self.fc(self.mixed(tokens).relu().mean(1))
        return logits


def test_an_exported_class_token_comes_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = bw.quantize(Tokens().eval(), PIXELS, preprocess=Preprocess(size=8, mean=0.5, std=0.25))
    back, told = read(saved(to_onnx(made), tmp_path), PIXELS, preprocess=Preprocess(size=8, scale=1.0))
    assert "3 of 3 layers' weights are its own" in told[0]
    assert (bw.Engine(made)(PIXELS).argmax(1) == bw.Engine(back)(PIXELS).argmax(1)).all()


SCALE, ZERO = np.array(0.05, np.float32), np.array(128, np.uint8)
ENDS = [op("GlobalAveragePool", "r", "p"), op("Flatten", "p", "y")]


def odd(nodes: list[Any], **tensors: Array) -> onnx.ModelProto:
    return model([*nodes, *ENDS], {"s": SCALE, "z": ZERO, **tensors}, opset=21)


Q, DQ = op("QuantizeLinear", "x s z", "q"), op("DequantizeLinear", "k s z", "r")


def through(scale: str) -> list[Any]:
    return [op("QuantizeLinear", f"x {scale} z", "q"), op("DequantizeLinear", f"q {scale} z", "r")]


WRONG: dict[str, tuple[onnx.ModelProto, str]] = {
    "another scale": (
        odd([Q, op("DequantizeLinear", "q t z", "r")], t=np.array(0.07, np.float32)),
        "reads codes by another scale",
    ),
    "a scale that is computed": (
        odd([op("ReduceMax", "x", "t", keepdims=0), *through("t")]),
        "its scale is computed",
    ),
    "a scale of 0": (
        odd(through("t"), t=np.array(0.0, np.float32)),
        "a finite scale above 0",
    ),
    "sums of codes": (odd([Q, op("Mul", "q q", "m"), op("DequantizeLinear", "m s z", "r")]), "computes with codes"),
    "a table a channel": (
        odd([Q, op("Cast", "q", "i", to=6), op("Gather", "t i", "l", axis=0), op("Squeeze", "l a", "k"), DQ],
            t=np.zeros((256, 1), np.uint8), a=np.array([-1])),
        "looks codes up in a way",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_codes_that_are_used_otherwise_are_refused(name: str, tmp_path: Path) -> None:
    made, expected = WRONG[name]
    with pytest.raises(ModelError, match=expected):
        open_onnx(str(saved(made, tmp_path)))


def test_moves_of_codes_move_what_they_stand_for(tmp_path: Path) -> None:
    """Padding with a code, concats with constant codes, pools: as ONNX's evaluator has it, but for the rounding."""
    nodes = [
        *(Q, op("Pad", "q pads v", "pq"), op("MaxPool", "pq", "mq", kernel_shape=[2, 2])),
        *(op("Concat", "mq c", "cq", axis=2), op("Transpose", "cq", "tq", perm=[0, 1, 3, 2])),
        op("DequantizeLinear", "tq s z", "r"),
    ]
    pads, v = np.array([0, 0, 1, 0, 0, 0, 0, 2]), np.array(200, np.uint8)
    made = odd(nodes, pads=pads, v=v, c=np.full((1, 3, 2, 9), 140, np.uint8))
    x = images(1)
    expected = run(saved(made, tmp_path), x)
    found = open_onnx(str(tmp_path / "m.onnx")).network(torch.from_numpy(x)).detach().numpy()
    assert np.abs(found - expected).max() < 0.05


def test_the_command_needs_no_images(float_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = by_onnxruntime(float_file, tmp_path, "QDQ", KEPT["U8S8 per channel"]), tmp_path / "m.bw.safetensors"
    assert main(["quantize", str(path), "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5", "-o", str(out)]) == 0
    told = capsys.readouterr()
    assert "no images: the scales are the file's" in told.out
    assert "12 of 12 types of values and the scales of 5 of 5 layers' weights are its own" in told.err
    assert np.array_equal(bw.Engine(bw.load(out))(PIXELS), bw.Engine(read(path)[0])(PIXELS))
