"""A plugin of each kind goes from `quantize` to the engine, and is not needed there."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import bitwright as bw
from bitwright.artifact import from_bytes
from bitwright.artifact_file.seal import BLANK, sealed
from bitwright.cli import main
from bitwright.errors import TrainingError
from bitwright.images.preprocess import Preprocess
from bitwright.ops import integer_op
from bitwright.ops.op import codes_of
from bitwright.recipe import Recipe
from bitwright.training import checkpoint
from bitwright.training.options import Options
from tests.networks import assert_equal_codes
from tests.plugins.conftest import THINGS
from tests.test_package import HEAVY, python

PREPROCESS = Preprocess(size=8)
IMAGES = np.random.default_rng(1).integers(0, 256, (12, 8, 8, 3), np.uint8)
RECIPE = {"weights": "quinary", "activations": "dozen", "range": "most", "algorithms": ["nudge"]}


def net(acme: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    found: torch.nn.Module = acme.Net()
    return found


def foreign(artifact: bw.Artifact) -> set[tuple[str, str]]:
    return {(record["kind"], record["name"]) for record in artifact.provenance["foreign"]}


def test_one_of_each_kind_goes_through_to_the_engine(acme: Any, request: pytest.FixtureRequest) -> None:
    preprocess = Preprocess(size=8, encoder="quarters")
    source = bw.open_source("noise:24")
    artifact = bw.quantize(net(acme), source, preprocess=preprocess, recipe=Recipe.from_json(RECIPE), guard=False)
    assert foreign(artifact) == {key for key in THINGS if key[0] not in ("training", "onnx_op")}
    native, reference = (bw.Engine(artifact, backend=backend)(IMAGES) for backend in ("native", "reference"))
    assert native.tobytes() == reference.tobytes()
    installed = "installed" in request.node.name
    for record in artifact.provenance["foreign"]:
        assert record["module"].startswith("acme_quant:")
        assert (record.get("distribution"), record.get("version")) == (
            ("acme-quant", "1.2") if installed else (None, None)
        )


def test_the_prepared_model_and_the_engine_agree_on_every_value_of_foreign_schemes(called: Any) -> None:
    prepared = bw.prepare(net(called), preprocess=PREPROCESS, recipe=Recipe.from_json(RECIPE))
    bw.calibrate(prepared, IMAGES)
    values = assert_equal_codes(prepared, IMAGES)
    graph = prepared.lower()
    assert {node.attrs["weights"] for node in graph.nodes if "weights" in node.attrs} == {"int3"}
    types = {name: type_ for name in values if name != "input" and (type_ := graph.values[name].type) is not None}
    assert {type_.scheme for type_ in types.values()} == {"uint4"}
    codes = {name: values[name] for name in types}
    written = {name: int(value.max()) for name, value in codes.items() if not name.endswith(".unclipped")}
    assert max(written.values()) == 11
    assert any(value.max() > 11 for name, value in codes.items() if name.endswith(".unclipped"))
    clipped = [node for node in graph.nodes if node.name.endswith(".unclipped")]
    assert not any(integer_op(node).bounds_codes for node in clipped), "a table clips what is bounded already"


def test_each_one_does_what_it_says(called: Any) -> None:
    """With one more plugin in the recipe, the bytes change; by what it does where that can be seen."""
    plain = {"weights": "int3", "activations": "uint4", "range": "minmax", "algorithms": []}

    def made(**changes: Any) -> bw.Artifact:
        recipe = Recipe.from_json(plain | changes)
        return bw.quantize(net(called), IMAGES, preprocess=PREPROCESS, recipe=recipe, guard=False)

    def weights(artifact: bw.Artifact) -> set[int]:
        return set(np.unique(artifact.graph["first"].tensors["weight"]))

    base = made()
    assert 3 in weights(base)
    assert weights(made(weights="quinary")) == {-2, -1, 0, 1, 2}
    wide, narrow = (codes_of(a.graph.values["second"]).one_scale for a in (base, made(range="most")))
    assert narrow == pytest.approx(0.9 * wide, rel=0.1)
    moved = made(algorithms=["nudge"]).graph["last"].tensors["b"] - base.graph["last"].tensors["b"]
    np.testing.assert_allclose(moved, [0.5, 0, 0, 0], atol=1e-6)
    assert foreign(base) == {("mapping", "acme.saturate.default")}


def test_a_training_algorithm_trains(called: Any) -> None:
    prepared = bw.prepare_qat(net(called), preprocess=PREPROCESS, recipe="w4a4", training="gentle", images=IMAGES)
    x = torch.from_numpy(PREPROCESS.normalise(IMAGES))
    loss = prepared.train()(x).square().sum()
    gradients = torch.autograd.grad(loss, [prepared.layer(name).tensors()["weight"] for name in ("first", "last")])
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    artifact = bw.convert(prepared.eval())
    assert foreign(artifact) == {("training", "gentle"), ("mapping", "acme.saturate.default")}
    assert bw.Engine(artifact)(IMAGES).tobytes() == prepared(x).detach().numpy().tobytes()


def test_what_had_a_part_in_an_earlier_stage_of_training_is_named(called: Any, tmp_path: Path) -> None:
    """The last stage has neither the foreign scheme nor the foreign algorithm; the weights have gone through both."""
    stages = (replace(Recipe.parse("w8a8"), weights="quinary", training="gentle"), Recipe.parse("w8a8"))
    options = Options(epochs=1, batch=8, augment=())
    np.savez(tmp_path / "some.npz", images=IMAGES, labels=np.arange(len(IMAGES)) % 4)
    artifact = bw.train(net(called), tmp_path / "some.npz", preprocess=PREPROCESS, recipe=stages, options=options)
    assert artifact.provenance["training"]["algorithm"] == "lsq"
    assert foreign(artifact) == {("scheme", "quinary"), ("training", "gentle"), ("mapping", "acme.saturate.default")}


def test_what_had_a_part_in_the_run_that_another_starts_from_is_named(called: Any, tmp_path: Path) -> None:
    """Also where that run itself was started from another, and where it was interrupted and goes on without that."""
    np.savez(tmp_path / "some.npz", images=IMAGES, labels=np.arange(len(IMAGES)) % 4)

    def trained(recipe: Recipe, start: str | None, saved: str) -> bw.Artifact:
        began = None if start is None else tmp_path / start
        source, options = tmp_path / "some.npz", Options(epochs=1, batch=8, augment=())
        return bw.train(
            net(called),
            source,
            preprocess=PREPROCESS,
            recipe=recipe,
            options=options,
            start=began,
            resume=tmp_path / saved,
        )

    plain = Recipe.parse("w8a8")
    expected = {("scheme", "quinary"), ("training", "gentle"), ("mapping", "acme.saturate.default")}
    assert foreign(trained(replace(plain, weights="quinary", training="gentle"), None, "first")) == expected
    second = trained(plain, "first", "second")
    assert foreign(second) == foreign(trained(plain, "second", "third")) == expected
    assert trained(plain, None, "second").provenance["foreign"] == second.provenance["foreign"]
    assert foreign(trained(plain, None, "fresh")) == {("mapping", "acme.saturate.default")}


@pytest.mark.parametrize("damaged", [[3], [{"kind": "range"}], 5])
def test_a_damaged_record_of_plugins_is_said(damaged: object, tmp_path: Path) -> None:
    path = tmp_path / "run"
    save_file({"x": np.zeros(1)}, path, {"training": json.dumps({"foreign": damaged})})
    with pytest.raises(TrainingError, match=f"{path}: its record of plugins is damaged"):
        checkpoint.foreign(path)


def test_an_artifact_needs_no_plugin_and_runs_none_of_its_code(called: Any, tmp_path: Path) -> None:
    artifact = bw.quantize(
        net(called), IMAGES, preprocess=Preprocess(size=8, encoder="quarters"), recipe=Recipe.from_json(RECIPE)
    )
    artifact.save(tmp_path / "m.bw.safetensors")
    np.save(tmp_path / "images.npy", IMAGES)
    code = """
import numpy as np
import bitwright as bw

artifact = bw.load(sys.argv[1])
found = bw.Engine(artifact)(np.load(sys.argv[2]))
assert "importlib.metadata" not in sys.modules
print(artifact.digest, found.tobytes().hex())
"""
    told = python(code, (*HEAVY, "acme_quant"), str(tmp_path / "m.bw.safetensors"), str(tmp_path / "images.npy"))
    assert told == f"{artifact.digest} {bw.Engine(artifact)(IMAGES).tobytes().hex()}"


def test_an_artifact_of_a_foreign_scheme_is_refused_even_where_the_plugin_is(called: Any) -> None:
    """Or loading it would run the plugin's code."""
    artifact = bw.quantize(net(called), IMAGES, preprocess=PREPROCESS, recipe="w8a8")
    scheme = rb"\"scheme\":\"uint8"
    image, *values = artifact.data.split(scheme)
    data = image + scheme + scheme.replace(b"uint8", b"dozen").join(values)
    place = data.rindex(b"sha256") + len(b'sha256\\":\\"')
    data = sealed(data[:place] + BLANK.encode() + data[place + len(BLANK) :])
    with pytest.raises(bw.errors.ArtifactError, match="expected a scheme for activations, found 'dozen'"):
        from_bytes(data)


def test_the_command_line_knows_them(
    acme: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.toml").write_text('weights = "quinary"\nactivations = "dozen"\nalgorithms = []\n')
    options = ("--size", "8", "--data", "noise:24[::2]", "--recipe", "r.toml", "-o", "m.bw.safetensors")
    quantize = ("quantize", "acme_quant:Net", *options, "--algorithms", "nudge")
    assert main([*quantize, "--encoder", "quarters", "--range", "most"]) == 0
    artifact = bw.load("m.bw.safetensors")
    assert foreign(artifact) == {key for key in THINGS if key[0] not in ("training", "onnx_op")}
    told = capsys.readouterr()
    assert "encoder        quarters\n" in told.out
    assert "as bits by quarters" in told.err
    for wrong, known in {
        ("--range", "mosd"): "'mosd' is not one of minmax, percentile, mse, entropy, octav, most; did you mean 'most'?",
        ("--algorithms", "nugde"): "bn_restat, nudge; did you mean 'nudge'?",
        ("--encoder", "quarter"): "levels:BASE:WEIGHTS:BITS:NAME, quarters; found 'quarter'",
        ("--data", "noise"): "noise:N, so many random pictures",
    }.items():
        assert main([*quantize, *wrong]) != 0
        assert known in capsys.readouterr().err
    (tmp_path / "r.toml").write_text('weights = "quinery"\n')
    assert main(quantize) != 0
    assert "bit, quinary; found 'quinery'; did you mean 'quinary'?" in capsys.readouterr().err


def test_of_what_is_ours_provenance_has_no_word() -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    assert "foreign" not in bw.quantize(net, IMAGES, preprocess=PREPROCESS).provenance


def test_what_uses_no_plugin_looks_for_none() -> None:
    code = """
import bitwright.cli.quantize, bitwright.images.sources, bitwright.recipe
bitwright.recipe.Recipe.parse("w4a8")
bitwright.Preprocess(size=8, encoder="dither")
print("importlib.metadata" in sys.modules)
"""
    assert python(code) == "False"
