"""`bitwright inspect`."""

import hashlib
import json
import platform
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from bitwright import __version__
from bitwright.artifact import load
from tests.cli.conftest import Run


def test_the_table(run: Run, project: Path):
    data = (project / "m.bw.safetensors").read_bytes()
    result = run("inspect", "m.bw.safetensors")
    assert (result.code, result.err) == (0, "")
    table, _, pairs = result.out.partition("\n\n")
    assert table + "\n" == (
        "layer  op                 shape  weights  codes    MACs  bytes\n"
        "0      conv2d             3x8x8  int8     uint8     576      9\n"
        "2      global_avg_pool2d  3x1x1           uint8\n"
        "3      reshape            3               uint8\n"
        "4      linear             3      int8     float32     9      9\n"
        "total                                               585     18\n"
    )
    calibration = load("m.bw.safetensors").provenance["calibration"]
    assert [" ".join(line.split(maxsplit=1)) for line in pairs.splitlines()] == [
        f"file m.bw.safetensors, {len(data):,} bytes",
        f"sha256 {hashlib.sha256(data).hexdigest()}",
        "signature none",
        "classes 3: blue, green, red",
        "preprocess RGB, resized to cover 8x8 by bilinear, crop to 8x8, (pixel / 255 - 0) / 1",
        "preprocess.size [8, 8]",
        "preprocess.resize null",
        "preprocess.mean [0.0, 0.0, 0.0]",
        "preprocess.std [1.0, 1.0, 1.0]",
        "preprocess.scale 0.00392156862745098",
        "preprocess.mode RGB",
        "preprocess.interpolation bilinear",
        "preprocess.background [255, 255, 255]",
        "provenance.recipe.name w8a8",
        "provenance.recipe.weights int8",
        "provenance.recipe.activations uint8",
        "provenance.recipe.range mse",
        'provenance.recipe.algorithms ["equalize", "bias_correct"]',
        f"provenance.versions.bitwright {__version__}",
        f"provenance.versions.torch {torch.__version__}",
        f"provenance.versions.python {platform.python_version()}",
        "provenance.seed 0",
        "provenance.calibration.images 6",
        f"provenance.calibration.sha256 {calibration['sha256']}",
        "provenance.calibration.range mse",
        f"provenance.calibration.corrections {json.dumps(calibration['corrections'])}",
        f"provenance.calibration.judged_on.images {calibration['judged_on']['images']}",
        f"provenance.calibration.judged_on.held_out {json.dumps(calibration['judged_on']['held_out'])}",
        "provenance.model.spec colours:net",
        "provenance.model.weights null",
        "provenance.data images",
        "provenance.preprocess_from from colours:net.preprocess",
    ]


def test_json(run: Run, project: Path):
    data = (project / "m.bw.safetensors").read_bytes()
    artifact = load("m.bw.safetensors")
    result = run("inspect", "m.bw.safetensors", "--json")
    assert (result.code, result.err) == (0, "")
    document = json.loads(result.out)
    layers = document.pop("layers")
    assert document == {
        "artifact": "m.bw.safetensors",
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "signature": {"path": None, "key": None, "verified": None, "reason": None},
        "macs": 585,
        "weight_bytes": 18,
        "outputs": 3,
        "classes": ["blue", "green", "red"],
        "preprocess": artifact.preprocess.to_json(),
        "provenance": artifact.provenance,
    }
    assert [layer["name"] for layer in layers] == ["0", "2", "3", "4"]
    assert layers[0] == {
        "name": "0",
        "op": "conv2d",
        "shape": [3, 8, 8],
        "weights": "int8",
        "activations": "uint8",
        "macs": 576,
        "weight_bytes": 9,
    }
    assert (layers[1]["weights"], layers[1]["macs"], layers[1]["weight_bytes"]) == (None, 0, 0)
    assert layers[3]["activations"] == "float32"


def test_names_cannot_steer_a_terminal(run: Run, project: Path, tmp_path: Path):
    names = ("\x1b]0;owned\x07", "two\nlines", "[red]bold[/red]")
    replace(load("m.bw.safetensors"), classes=names).save(tmp_path / "x.bw.safetensors")
    result = run("inspect", tmp_path / "x.bw.safetensors")
    [line] = [line for line in result.out.splitlines() if line.startswith("classes")]
    assert line.split(maxsplit=1)[1] == r"3: \x1b]0;owned\x07, two\nlines, [red]bold[/red]"


def test_many_classes_and_none(run: Run, project: Path, tmp_path: Path):
    path = tmp_path / "x.bw.safetensors"
    replace(load("m.bw.safetensors"), classes=None).save(path)
    assert "3, without names\n" in run("inspect", path).out
    assert json.loads(run("inspect", path, "--json").out)["classes"] is None


def test_files_that_are_no_artifacts(run: Run, tmp_path: Path):
    assert run("inspect", "none.bw") == (2, "", "bitwright: error: cannot read none.bw: No such file or directory\n")
    assert run("inspect", "images").err.startswith(
        "bitwright: error: cannot read images: Is a directory; an artifact is a file"
    )
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(Path("m.bw.safetensors").read_bytes()[:100])
    result = run("inspect", path)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"bitwright: error: {path}: not a safetensors file, or a damaged one (")


@pytest.mark.parametrize(("dtype", "kind"), [("float32", "F32"), ("float16", "F16"), ("int64", "I64")])
def test_the_weights_of_a_float_model_are_said_to_be_that(run: Run, tmp_path: Path, dtype: str, kind: str):
    path = tmp_path / "float.safetensors"
    safetensors.numpy.save_file({"conv.weight": np.zeros((4, 3, 3, 3), dtype), "conv.bias": np.zeros(4, dtype)}, path)
    result = run("inspect", path)
    assert (result.code, result.out) == (2, "")
    assert f"{path}: the weights of a model (2 tensors with 112 numbers of {kind}, such as 'conv." in result.err
    assert "not a bitwright artifact; make one with: bitwright quantize MODEL --weights" in result.err
