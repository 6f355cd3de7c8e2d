"""Labels that do not fit: no command prints an accuracy from them with exit code 0, and all is found before the work."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitwright.artifact import load
from tests.cli.conftest import COLOURS, QUANTIZE, Run

ARTIFACT = ("evaluate", "m.bw.safetensors")  # its classes are blue, green and red
COMMANDS = {
    "evaluate": (*ARTIFACT, "--data"),
    "evaluate a float model": ("evaluate", "colours:net", "--data"),
    "quantize --test": (*QUANTIZE, "--test"),
    "quantize --auto": ("quantize", "colours:net", "--auto", "--max-drop", "1", "--data"),
    "search": ("search", "colours:net", "--bits", "4", "--jobs", "1", "--data"),
    "search --held-out": ("search", "colours:net", "--bits", "4", "--jobs", "1", "--data", "images", "--held-out"),
    "train": ("train", "colours:net", "--epochs", "1", "--augment", "", "--data"),
    "train --test": ("train", "colours:net", "--epochs", "1", "--augment", "", "--data", "images", "--test"),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITWRIGHT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.bw.safetensors"


def manifest(path: Path, names: Mapping[str, object]) -> Path:
    """A CSV of the project's pictures, each colour's under a label of its own."""
    rows = [f"{Path.cwd()}/images/{colour}/{i}.png,{label}" for colour, label in names.items() for i in range(2)]
    path.write_text("\n".join(["path,label", *rows]) + "\n")
    return path


def run_on(run: Run, command: str, data: Path, out: Path, *more: str):
    output = () if command.startswith("evaluate") else ("-o", out)
    return run(*COMMANDS[command], data, *more, *output)


@pytest.mark.parametrize(
    "names",
    [
        {"red": "red", "blue": "blue"},
        {"green": "green", "red": "red"},
        {"red": "Red", "green": "GREEN", "blue": " blue "},
    ],
    ids=["one missing", "the first missing", "spelled otherwise"],
)
def test_names_are_matched_with_the_models(names: Mapping[str, object], run: Run, tmp_path: Path):
    result = run(*ARTIFACT, "--data", manifest(tmp_path / "named.csv", names), "--json")
    document = json.loads(result.out)
    assert (result.code, result.err, document["top1"], document["labels_by"]) == (0, "", 100.0, "name")
    assert {c["name"] for c in document["per_class"]} == set(names)


def test_an_archive_with_its_classes_in_another_order(run: Run, project: Path, tmp_path: Path):
    images = np.stack([np.full((8, 8, 3), COLOURS[name], np.uint8) for name in ("red", "green", "blue")])
    np.savez(tmp_path / "set.npz", images=images, labels=[0, 1, 2], classes=["red", "green", "blue"])
    document = json.loads(run(*ARTIFACT, "--data", tmp_path / "set.npz", "--json").out)
    assert document["top1"] == 100.0
    result = run(*ARTIFACT, "--data", tmp_path / "set.npz", "--labels", "index", "--json")
    assert json.loads(result.out)["top1"] == pytest.approx(100 / 3)


def test_a_class_that_the_model_does_not_have_is_refused(run: Run, tmp_path: Path):
    for colour, name in (*((c, c) for c in COLOURS), ("red", "redd")):
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.fromarray(np.full((8, 8, 3), COLOURS[colour], np.uint8)).save(tmp_path / "set" / name / "0.png")
    result = run(*ARTIFACT, "--data", tmp_path / "set")
    assert (result.code, result.out) == (2, "")
    assert "1 of its 4 classes are none of the model: 'redd' (close to it: red)" in result.err


def test_no_name_in_common_is_an_error_that_says_what_to_do(run: Run, tmp_path: Path):
    data = manifest(tmp_path / "wnids.csv", {"blue": "n2", "green": "n3", "red": "n1"})
    result = run(*ARTIFACT, "--data", data)
    assert (result.code, result.out) == (2, "")
    assert "no name in common" in result.err
    assert "--classes FILE" in result.err
    assert "--labels index" in result.err
    index = {"0": ["n1", "red"], "1": ["n2", "blue"], "2": ["n3", "green"]}
    (tmp_path / "index.json").write_text(json.dumps(index))
    found = run(*ARTIFACT, "--data", data, "--classes", tmp_path / "index.json", "--json")
    assert (found.code, json.loads(found.out)["top1"]) == (0, 100.0)


@pytest.mark.parametrize("command", COMMANDS)
def test_labels_beyond_the_outputs_stop_before_the_work(command: str, run: Run, tmp_path: Path, out: Path):
    result = run_on(run, command, manifest(tmp_path / "wide.csv", {"red": 2, "green": 1, "blue": 199}), out)
    assert (result.code, result.out, out.exists()) == (2, "", False)
    assert "expected labels 0 to 2, one for each of the model's 3 classes; found up to 199" in result.err


@pytest.mark.parametrize(
    "command",
    [name for name in COMMANDS if name not in ("evaluate", "quantize --test", "search --held-out", "train --test")],
)
def test_too_few_named_classes_for_a_model_without_names(command: str, run: Run, tmp_path: Path, out: Path):
    data = manifest(tmp_path / "two.csv", {"red": "red", "blue": "blue"})
    result = run_on(run, command, data, out)
    assert (result.code, result.out, out.exists()) == (2, "", False)
    assert "it has 2 classes (blue, red), and the model 3, which have no names" in result.err
    assert "loss" not in result.err


def test_a_test_set_is_named_by_the_images_that_the_model_takes_its_names_from(run: Run, tmp_path: Path, out: Path):
    """It lacks a class, and has the others in another order."""
    result = run_on(run, "quantize --test", manifest(tmp_path / "two.csv", {"red": "red", "blue": "blue"}), out)
    assert result.code == 0, result.err
    made = load(out)
    assert (made.classes, made.provenance["measured"]["top1"]) == (("blue", "green", "red"), 100.0)


@pytest.mark.parametrize("command", ["evaluate a float model", "quantize --auto", "train"])
def test_a_file_names_the_classes_of_a_model_without_names(command: str, run: Run, tmp_path: Path, out: Path):
    data = manifest(tmp_path / "two.csv", {"red": "red", "blue": "blue"})
    (tmp_path / "names.txt").write_text("blue\ngreen\nred\n")
    result = run_on(run, command, data, out, "--classes", str(tmp_path / "names.txt"), "--json")
    assert result.code == 0, result.err
    if command == "evaluate a float model":
        assert json.loads(result.out)["top1"] == 100.0
    else:
        assert load(out).classes == ("blue", "green", "red")
    if command == "quantize --auto":
        assert load(out).provenance["auto"]["steps"][-1]["drop"]["float_top1"] == 100.0


def test_images_without_labels_have_no_accuracy(run: Run):
    for more in ((), ("--json",), ("--reference", "colours:net")):
        result = run(*ARTIFACT, "--data", "images/red", *more)
        assert (result.code, result.out) == (2, "")
        assert "images/red: these images have no labels, so there is no accuracy to measure" in result.err
    without = run(*ARTIFACT, "--data", "images/red", "--no-labels", "--per-class")
    assert (without.code, "correct" in without.out) == (0, False)
    assert without.err.endswith("note: no table per class, as there are no labels\n")


SHIFTED = {"blue": 1, "green": 2, "red": 0}
REMARK = "is right on 0.0 % of"
QUESTION = "are labels, mean and std right?"


def test_a_model_at_chance_level_is_said_loudly(run: Run, tmp_path: Path):
    data = manifest(tmp_path / "shifted.csv", SHIFTED)
    for command, who in ((ARTIFACT, "the model"), (("evaluate", "colours:net"), "the float model itself")):
        result = run(*command, "--data", data, "--json")
        document = json.loads(result.out)
        assert (result.code, document["top1"], document["at_chance"]) == (1, 0.0, True)
        assert f"bitwright: warning: {who} {REMARK} 6 images" in result.err
        assert QUESTION in result.err
        assert QUESTION in document["remarks"][0]


def test_a_float_model_at_chance_level_beside_the_artifact(run: Run, tmp_path: Path, out: Path):
    result = run_on(run, "quantize --test", manifest(tmp_path / "shifted.csv", SHIFTED), out)
    assert result.code == 1
    assert f"the float model itself {REMARK} 6 images" in result.err
    assert load(out).provenance["measured"]["float_at_chance"] is True


@pytest.mark.parametrize("command", ["quantize --auto", "search"])
def test_nothing_is_judged_by_labels_that_the_float_model_only_guesses(
    command: str, run: Run, tmp_path: Path, out: Path
):
    if command == "search":
        pytest.importorskip("scipy")
    data = manifest(tmp_path / "shifted.csv", SHIFTED)
    result = run_on(run, command, data, out)
    assert (result.code, result.out, out.exists()) == (1, "", False)
    assert f"bitwright: error: the float model itself {REMARK}" in result.err
    assert "--force" in result.err
    key = "auto" if command == "quantize --auto" else "search"
    forced = run_on(run, command, data, out, "--force")
    assert forced.code == 0
    assert f"bitwright: warning: the float model itself {REMARK}" in forced.err
    assert load(out).provenance[key]["float_at_chance"] is True
    agreed = run_on(run, command, data, out, "--labels", "none")
    assert agreed.code == 0
    assert "no labels, so drops are measured by agreement with the float model's classes" in agreed.err


def test_force_is_for_auto(run: Run, out: Path):
    result = run(*QUANTIZE, "--force", "-o", out)
    assert (result.code, "--force needs --auto" in result.err) == (2, True)


def test_class_names_of_an_artifact_come_from_a_file(run: Run, project: Path, tmp_path: Path, out: Path):
    (tmp_path / "names.json").write_text('{"azure": 0, "lime": 1, "rose": 2}')
    assert run(*QUANTIZE, "--classes", tmp_path / "names.json", "-o", out).code == 0
    assert load(out).classes == ("azure", "lime", "rose")
    (project / "named.py").write_text("from colours import net as made\n\ndef net():\n    return made()\n\n")
    with (project / "named.py").open("a") as file:
        file.write("net.preprocess, net.classes = made.preprocess, ('b', 'g', 'r')\n")
    assert run("quantize", "named:net", "--data", "images", "-o", out).code == 0
    assert load(out).classes == ("b", "g", "r")


@pytest.mark.parametrize("own", [("b", "g"), ("a", "b", "c", "d")], ids=["fewer", "more"])
def test_names_of_another_head_give_way_to_those_given(
    own: tuple[str, ...], run: Run, project: Path, tmp_path: Path, out: Path
):
    """A model whose head was replaced still brings the names of its old one."""
    module = f"head{len(own)}"
    code = "from colours import net as made\n\ndef net():\n    return made()\n\n"
    (project / f"{module}.py").write_text(f"{code}net.preprocess, net.classes = made.preprocess, {own!r}\n")
    (tmp_path / "names.txt").write_text("azure\nlime\nrose\n")
    command = ("quantize", f"{module}:net", "--data", "images", "-o", out)
    refused = run(*command)
    assert (refused.code, refused.out, out.exists()) == (2, "", False)
    assert f"expected a name for each of the model's 3 classes, found {len(own)} (" in refused.err
    assert run(*command, "--classes", tmp_path / "names.txt").code == 0
    assert load(out).classes == ("azure", "lime", "rose")


def test_labels_in_another_order_end_in_exit_code_1(run: Run, project: Path, tmp_path: Path, out: Path):
    rows = [f"{project}/images/{name}/{i % 2}.png,{label}" for name, label in SHIFTED.items() for i in range(6)]
    (tmp_path / "many.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    for command in (ARTIFACT, ("evaluate", "colours:net")):
        result = run(*command, "--data", str(tmp_path / "many.csv"))
        assert result.code == 1
        assert "top-1" in result.out
        assert "label 0 are taken for class 2, of 1 for 0, of 2 for 1" in result.err
    assert run_on(run, "quantize --test", tmp_path / "many.csv", out).code == 1
