"""An op of ONNX files that is not ours: of another domain, or one of ONNX that the table lacks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import ModelProto, NodeProto

import bitwright as bw
from bitwright.capture.onnx import open_onnx
from bitwright.cli import main
from bitwright.errors import CaptureError, ModelError
from tests.onnx_models import images as reals
from tests.onnx_models import model, op, reference, saved, weights
from tests.plugins.test_plugins import foreign

PREPROCESS = bw.Preprocess(size=8)
IMAGES = np.random.default_rng(1).integers(0, 256, (12, 8, 8, 3), np.uint8)
TENSORS = weights(first=(8, 3, 3, 3), second=(4, 8, 3, 3))


def of_acme(node: NodeProto) -> NodeProto:
    node.domain = "com.acme"
    return node


def network(*middle: NodeProto) -> ModelProto:
    """A convolution, what is between `c` and `m`, a convolution, and the mean of its pixels."""
    ends = op("Conv", "m second", "p"), op("GlobalAveragePool", "p", "g"), op("Flatten", "g", "y")
    return model([op("Conv", "x first", "c"), *middle, *ends], TENSORS, domains=["com.acme"])


SATURATE = network(of_acme(op("Saturate", "c", "m", most=1.5)))


def test_an_op_of_another_domain_goes_through_to_the_engine(acme: Any, tmp_path: Path) -> None:
    path = saved(SATURATE, tmp_path)
    artifact = bw.quantize(str(path), IMAGES, preprocess=PREPROCESS, recipe="w8a8")
    assert foreign(artifact) == {("onnx_op", "com.acme.Saturate")}
    native, slow = (bw.Engine(artifact, backend=backend)(IMAGES) for backend in ("native", "reference"))
    assert native.tobytes() == slow.tobytes()
    clipped = op("Constant", "", "lo", value_float=0.0), op("Constant", "", "hi", value_float=1.5)
    same = network(*clipped, op("Clip", "c lo hi", "m"))
    x = reals()
    with torch.no_grad():
        found = open_onnx(str(path)).network(torch.from_numpy(x))
    np.testing.assert_allclose(found, reference(same, x), rtol=1e-5, atol=1e-6)


def test_the_command_line_takes_such_a_file(installed: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = saved(SATURATE, tmp_path), tmp_path / "m.bw.safetensors"
    arguments = ("--data", "noise:8", "--size", "8", "-o", str(out))
    assert main(["quantize", str(path), *arguments]) == 0, capsys.readouterr().err
    assert {("onnx_op", "com.acme.Saturate"), ("source", "noise")} == foreign(bw.load(out))


def test_an_op_of_another_domain_is_not_taken_for_the_op_of_onnx_with_its_name(tables: None, tmp_path: Path) -> None:
    """`com.acme.Softmax` is what the plugin says."""
    bw.register("onnx_op", lambda call: 2 * call.tensor(0), "com.acme.Softmax")
    made = network(of_acme(op("Softmax", "c", "m")))
    x = reals()
    with torch.no_grad():
        found = open_onnx(str(saved(made, tmp_path))).network(torch.from_numpy(x))
    np.testing.assert_allclose(found, reference(network(op("Add", "c c", "m")), x), rtol=1e-5, atol=1e-6)


def test_an_op_of_onnx_that_the_table_lacks_can_be_added(tables: None, tmp_path: Path) -> None:
    path = str(saved(model([op("Hardmax", "x", "y")], opset=13), tmp_path))
    with pytest.raises(ModelError, match="no meaning is known for this op"):
        open_onnx(path)
    bw.register("onnx_op", hardmax, "Hardmax")
    x = reals()
    assert np.array_equal(open_onnx(path).network(torch.from_numpy(x)), reference(model([op("Hardmax", "x", "y")]), x))


def hardmax(call: Any) -> torch.Tensor:
    x = call.tensor(0)
    return torch.nn.functional.one_hot(x.argmax(-1), x.shape[-1]).to(x.dtype)


def test_a_domain_that_nobody_knows_says_what_to_register(tables: None, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"of the domain 'com.acme'; .*or register an onnx_op 'com.acme.Saturate'"):
        open_onnx(str(saved(SATURATE, tmp_path)))


@pytest.mark.parametrize(
    ("meaning", "message"),
    [
        (lambda call: None, r"'com.acme.Saturate' of .* returned None, expected a tensor, or a tuple of tensors"),
        (lambda call: call.tensor(3), r"'Saturate_m' \(com.acme.Saturate\): expected at least 4 inputs, found 1"),
    ],
)
def test_a_meaning_that_fails_is_named(
    tables: None, tmp_path: Path, meaning: Callable[[Any], Any], message: str
) -> None:
    bw.register("onnx_op", meaning, "com.acme.Saturate")
    network = open_onnx(str(saved(SATURATE, tmp_path))).network
    with pytest.raises(CaptureError, match=message):
        network(torch.zeros(1, 3, 8, 8))
