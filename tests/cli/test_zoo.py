"""`bitwright zoo`: what it lists, copies and makes."""

from pathlib import Path

import pytest

import bitwright as bw
from bitwright.hub import MODELS, quantized_model
from tests.cli.conftest import Run
from tests.conftest import REPOSITORY

TRAINED = [name for name, model in MODELS.items() if model.is_trained]


def test_the_list_has_every_model(run: Run):
    found = run("zoo", "list")
    assert found.code == 0
    assert [line.split()[0] for line in found.out.splitlines()[1:]] == list(MODELS)


@pytest.mark.parametrize("name", TRAINED)
def test_what_comes_with_it_is_what_lies_in_examples(name: str, run: Run, tmp_path: Path):
    output = tmp_path / "m.bw.safetensors"
    assert run("zoo", "make", name, "-o", str(output)).code == 0
    assert output.read_bytes() == (REPOSITORY / f"examples/cifar10/{name}.bw.safetensors").read_bytes()
    made = bw.load(output)
    assert made.provenance["model"]["spec"] == MODELS[name].network
    assert made.provenance["recipe"]["name"] == MODELS[name].bits


def test_what_is_not_installed_is_said(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bitwright.hub._folders", lambda: [tmp_path])
    found = run("zoo", "make", "resnet20-w4a4", "-o", str(tmp_path / "m.bw.safetensors"))
    assert found.code == 1
    assert "pip install 'bitwright[models]'" in found.err
    assert run("zoo", "list").code == 0


def test_the_package_of_models_is_looked_in_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "bitwright_models"
    folder.mkdir()
    (folder / "resnet20-w4a4.bw.safetensors").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert quantized_model("resnet20-w4a4").file.parent == folder
    assert quantized_model("resnet20-w2a2").file.parent != folder


def test_a_model_that_is_made_needs_data(run: Run, tmp_path: Path):
    found = run("zoo", "make", "lenet-w8a8", "-o", str(tmp_path / "m.bw.safetensors"))
    assert found.code == 2
    assert "--data DIR is needed" in found.err
    with pytest.raises(bw.errors.ModelError, match="zoo make lenet-w8a8"):
        _ = quantized_model("lenet-w8a8").file


def test_a_name_that_is_not_known(run: Run, tmp_path: Path):
    found = run("zoo", "make", "react20-w1a2", "-o", str(tmp_path / "m.bw.safetensors"))
    assert found.code == 2
    assert "did you mean 'react20-w1a1'" in found.err


def test_one_command_makes_it_from_data(run: Run, tmp_path: Path, data_dir: Path):
    """LeNet, the quickest: it is what `bitwright quantize` makes in the folder of the data."""
    if not (data_dir / "mnist").is_dir():
        pytest.skip("no mnist in the data")
    output = tmp_path / "m.bw.safetensors"
    assert run("zoo", "make", "lenet-w8a8", "--data", str(data_dir), "-o", str(output)).code == 0
    measured = bw.load(output).provenance["measured"]
    assert measured["images"] == 10_000
    assert measured["top1"] >= 98.9
