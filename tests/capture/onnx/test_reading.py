"""Files that are damaged or hostile: an error that says what is wrong, and nothing else happens."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from bench.mutated import mutated, tried
from bitwright.capture.onnx import open_onnx, reading
from bitwright.errors import ModelError
from tests.onnx_models import LATEST, model, op, saved, weights

NODES = [op("Conv", "x w", "c"), op("Relu", "c", "r"), op("GlobalAveragePool", "r", "p"), op("Flatten", "p", "y")]


def good(opset: int = 17) -> ModelProto:
    return model(NODES, weights(w=(4, 3, 3, 3)), opset=opset)


def changed(change: Callable[[ModelProto], Any]) -> ModelProto:
    made = good()
    change(made)
    return made


def external(location: str, **more: str) -> ModelProto:
    def change(made: ModelProto) -> None:
        tensor = made.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **more}.items():
            tensor.external_data.add(key=key, value=value)

    return changed(change)


def calls_itself(made: ModelProto) -> None:
    body = [helper.make_node("f", ["a"], ["b"], domain="own")]
    made.functions.append(helper.make_function("own", "f", ["a"], ["b"], body, [helper.make_opsetid("own", 1)]))
    made.graph.node.insert(1, helper.make_node("f", ["c"], ["c2"], domain="own"))
    made.opset_import.append(helper.make_opsetid("own", 1))


def calls_many(made: ModelProto) -> None:
    """Forty functions, each of which calls the next one twice."""
    for i in range(40):
        domain = "own" if i < 39 else ""
        body = [
            helper.make_node(f"f{i + 1}" if domain else "Relu", [a], [b], domain=domain)
            for a, b in (("a", "m"), ("m", "b"))
        ]
        opsets = [helper.make_opsetid("own", 1), helper.make_opsetid("", 17)]
        made.functions.append(helper.make_function("own", f"f{i}", ["a"], ["b"], body, opsets))
    made.graph.node.insert(1, helper.make_node("f0", ["c"], ["c2"], domain="own"))
    made.opset_import.append(helper.make_opsetid("own", 1))


def huge(made: ModelProto) -> None:
    made.graph.initializer[0].dims[:] = [2**40, 2**40]


def no_text(made: ModelProto) -> None:
    """An attribute that is text by its name, and numbers by its type."""
    made.graph.node[0].attribute.append(helper.make_attribute("auto_pad", 3))


WRONG: dict[str, tuple[ModelProto, str]] = {
    "no nodes": (ModelProto(), "no nodes"),
    "an old opset": (good(9), "expected a model of opset 11 to"),
    "a newer opset": (
        changed(lambda m: m.opset_import[0].__setattr__("version", 900)),
        "expected a model of opset 11 to",
    ),
    "another domain": (
        changed(lambda m: m.graph.node[1].__setattr__("domain", "com.microsoft")),
        "of the domain 'com.microsoft'",
    ),
    "an unknown op": (changed(lambda m: m.graph.node[1].__setattr__("op_type", "Nix")), "onnx.checker refuses it"),
    "a cycle": (changed(lambda m: m.graph.node[0].input.__setitem__(0, "p")), "onnx.checker refuses it"),
    "huge sizes": (changed(huge), "it would have"),
    "negative sizes": (changed(lambda m: m.graph.initializer[0].dims.__setitem__(0, -4)), "sizes of 0 and above"),
    "too few bytes": (changed(lambda m: m.graph.initializer[0].__setattr__("raw_data", b"1234")), "expected 432 bytes"),
    "strings as weights": (changed(lambda m: m.graph.initializer[0].__setattr__("data_type", 8)), "of the type 8"),
    "a function that calls itself": (changed(calls_itself), "calls itself"),
    "functions that are a trillion nodes": (changed(calls_many), "expected at most 200000 nodes"),
    "text that is a number": (changed(no_text), "onnx.checker refuses it|contradicts itself"),
    "huge images": (
        changed(lambda m: m.graph.input[0].type.tensor_type.shape.dim[2].__setattr__("dim_value", 2**40)),
        "at most",
    ),
    "images of many channels": (
        changed(lambda m: m.graph.input[0].type.tensor_type.shape.dim[1].__setattr__("dim_value", 2**20)),
        "at most 64 channels",
    ),
    "two inputs": (
        changed(lambda m: m.graph.input.append(helper.make_tensor_value_info("z", 1, [1]))),
        "expected one input",
    ),
    "data above the folder": (external("../w.bin"), "expected a file in the model's own folder"),
    "data anywhere": (external("/etc/passwd"), "expected a file in the model's own folder"),
    "data nowhere": (external("w.bin"), "No such file"),
    "data behind a link": (external("link.bin"), "behind the link"),
    "data in a folder behind a link": (external("folder/w.bin"), "behind the link"),
    "data that ends too early": (external("short.bin"), "expected 432 bytes of data"),
    "data before the file": (external("long.bin", offset="-4"), "expected 432 bytes of data"),
    "data of another length": (external("long.bin", length="99"), "expected 432 bytes of data"),
    "data at no number": (external("long.bin", offset="x"), "whole numbers"),
    "data that is a folder": (external("real"), "no plain file"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "long.bin").write_bytes(bytes(500))
    (tmp_path / "short.bin").write_bytes(bytes(100))
    (tmp_path / "link.bin").symlink_to(tmp_path / "long.bin")
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "w.bin").write_bytes(bytes(500))
    (tmp_path / "folder").symlink_to(tmp_path / "real")
    return tmp_path


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(name: str, folder: Path) -> None:
    made, expected = WRONG[name]
    with pytest.raises(ModelError, match=expected):
        open_onnx(str(saved(made, folder)))


def test_a_file_that_was_cut_off(tmp_path: Path) -> None:
    whole = good().SerializeToString()
    path = tmp_path / "m.onnx"
    for length in (0, 1, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError):
            open_onnx(str(path))
    with pytest.raises(ModelError, match="cannot read"):
        open_onnx(str(tmp_path / "none.onnx"))


def test_data_beside_the_file_is_read(folder: Path) -> None:
    made = good()
    expected = numpy_helper.to_array(made.graph.initializer[0])
    (folder / "w.bin").write_bytes(b"12345678" + expected.tobytes())
    read = reading.read(str(saved(external("w.bin", offset="8", length="432"), folder)))
    assert np.array_equal(numpy_helper.to_array(read.graph.initializer[0]), expected)


@pytest.mark.parametrize("opset", [11, 13, 15, 17, LATEST, onnx.defs.onnx_opset_version()])
def test_opsets(opset: int, tmp_path: Path) -> None:
    assert open_onnx(str(saved(good(opset), tmp_path))).stem.size == (8, 8)


def test_mutated_files_give_errors_and_nothing_else(tmp_path: Path) -> None:
    """`python -m bench.mutated --count 100000` tries many more."""
    rng, whole = random.Random(0), good().SerializeToString()
    found = [tried(mutated(whole, rng), tmp_path / "m.onnx") for _ in range(150)]
    assert not [error for error in found if error.startswith("!")]
    assert any(found)
