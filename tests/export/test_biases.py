"""An artifact whose biases are those of its exported model: nothing is left that other runtimes round away."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import bitwright as bw
from bitwright.cli import main
from bitwright.export import to_onnx, with_int32_biases
from tests.export.test_qdq import artifact


def biases(model: onnx.ModelProto) -> dict[str, list[int]]:
    return {
        tensor.name: numpy_helper.to_array(tensor).tolist()
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.INT32 and tensor.name.endswith(".bias")
    }


def test_the_exported_model_stays_and_the_artifact_becomes_it() -> None:
    made, pixels = artifact()
    twin = with_int32_biases(made)
    assert twin.provenance["biases"] == "int32"
    assert biases(to_onnx(twin)) == biases(to_onnx(made)) != {}
    for before, after in zip(made.graph.nodes, twin.graph.nodes, strict=True):
        if "b" not in before.tensors:
            assert before is after
            continue
        m, type_ = before.tensors["m"].astype(float), made.graph.values[before.name].type
        assert np.abs(before.tensors["b"] - after.tensors["b"]).max() <= 0.5001 * np.abs(m).max() + 1e-5
        units = (after.tensors["b"].astype(float) - (0 if type_ is None else type_.one_shift)) / m
        assert np.abs(units - np.rint(units)).max() < 0.02
        assert not np.array_equal(before.tensors["b"], after.tensors["b"])
    assert with_int32_biases(twin).graph.nodes[0].tensors["b"].tolist() == twin.graph.nodes[0].tensors["b"].tolist()
    assert np.abs(bw.Engine(twin)(pixels) - bw.Engine(made)(pixels)).max() > 0


def test_the_command_writes_both(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    made, _ = artifact()
    paths = [str(tmp_path / name) for name in ("m.bw.safetensors", "m.onnx", "twin.bw.safetensors")]
    made.save(paths[0])
    assert main(["export", paths[0], "-o", paths[1], "--twin", paths[2]]) == 0
    expected = with_int32_biases(made).graph["0"].tensors["b"]
    assert np.array_equal(bw.load(paths[2]).graph["0"].tensors["b"], expected)
    assert biases(onnx.load(paths[1])) == biases(to_onnx(made))
    assert main(["export", paths[0], "-o", paths[1], "--twin", paths[1]]) == 2
