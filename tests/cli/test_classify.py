"""`bitwright classify`."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import bitwright as bw
from tests.cli.conftest import Run
from tests.cli.test_app import SOURCES
from tests.cli.test_quantize import BAD

CLASSIFY = ("classify", "m.bw.safetensors")
ERROR = BAD.replace("warning: left out ", "error: ")


def test_the_best_classes_of_each_image(run: Run):
    result = run(*CLASSIFY, "images/red/0.png", "images/green/1.png", "--top", 2)
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "image               percent  class\n"
        "images/red/0.png      99.93  red\n"
        "                       0.03  blue\n"
        "images/green/1.png    99.93  green\n"
        "                       0.03  blue\n"
    )


def test_more_classes_than_there_are(run: Run):
    result = run(*CLASSIFY, "images/blue/0.png", "--top", 100, "--json")
    assert (result.code, result.err) == (0, "")
    document = json.loads(result.out)
    assert document["artifact"] == "m.bw.safetensors"
    [image] = document["images"]
    assert (image["path"], image["error"]) == ("images/blue/0.png", None)
    assert [(guess["index"], guess["name"]) for guess in image["top"]] == [(0, "blue"), (1, "green"), (2, "red")]
    assert sum(guess["percent"] for guess in image["top"]) == pytest.approx(100, abs=0.001)


def test_a_bad_image_is_reported_and_the_others_are_classified(run: Run):
    result = run(*CLASSIFY, "mixed/bad.png", "nowhere.png", "mixed/good.png", "--top", 1)
    assert result == (
        2,
        "image           percent  class\nmixed/good.png    99.93  red\n",
        ERROR + "bitwright: error: nowhere.png: No such file or directory\n",
    )
    document = json.loads(run(*CLASSIFY, "mixed/bad.png", "mixed/good.png", "--json").out)
    bad, good = document["images"]
    assert (bad["path"], bad["top"]) == ("mixed/bad.png", [])
    assert bad["error"] == ERROR.removeprefix("bitwright: error: ").strip()
    assert good["error"] is None


def test_when_all_are_bad_nothing_is_printed(run: Run):
    assert run(*CLASSIFY, "mixed/bad.png") == (1, "", ERROR)


def test_no_image_is_wrong_usage(run: Run):
    result = run(*CLASSIFY)
    assert (result.code, result.out) == (2, "")
    assert "Missing argument 'IMAGE...'" in result.err


def test_an_artifact_that_is_none(run: Run, tmp_path: Path):
    assert run("classify", "none.bw", "mixed/good.png") == (
        2,
        "",
        "bitwright: error: cannot read none.bw: No such file or directory\n",
    )


def test_names_from_a_file(run: Run, tmp_path: Path):
    (tmp_path / "index.json").write_text('{"0": "rot", "1": ["r", "red"], "2": ["b", "Blue"], "3": "Green"}')
    result = run(*CLASSIFY, "images/green/1.png", "--top", 1, "--classes", tmp_path / "index.json")
    assert result == (0, "image               percent  class\nimages/green/1.png    99.93  Green\n", "")
    (tmp_path / "two.txt").write_text("a\nb\n")
    result = run(*CLASSIFY, "images/green/1.png", "--classes", tmp_path / "two.txt")
    assert (result.code, result.out) == (2, "")
    assert "two.txt: expected a name for each of the model's 3 classes, found 2 (a, b)" in result.err


@pytest.mark.parametrize(
    ("classes", "names"),
    [(None, ("0", "1")), (("red",), ("not red", "red")), (("other", "red"), ("other", "red"))],
)
def test_one_output_is_the_logit_of_the_second_class(run: Run, tmp_path: Path, classes, names):
    linear = nn.Linear(3, 1)
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear).eval()
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[4.0, -4.0, -4.0]]))
        linear.bias.fill_(1.0)
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)
    artifact = bw.quantize(model, images, preprocess=bw.Preprocess(size=8), classes=classes)
    artifact.save(tmp_path / "one")
    document = json.loads(run("classify", tmp_path / "one", "images/red/0.png", "images/blue/0.png", "--json").out)
    for image, path, first in zip(document["images"], ("images/red/0.png", "images/blue/0.png"), (1, 0), strict=True):
        sigmoid = 1 / (1 + np.exp(-float(bw.Engine(artifact)(path)[0, 0])))
        assert [guess["index"] for guess in image["top"]] == [first, 1 - first]
        assert [guess["name"] for guess in image["top"]] == [names[first], names[1 - first]]
        percents = {guess["index"]: guess["percent"] for guess in image["top"]}
        assert percents == {1: pytest.approx(100 * sigmoid, abs=1e-3), 0: pytest.approx(100 - 100 * sigmoid, abs=1e-3)}
        assert 0.1 < 100 * sigmoid < 99.9


@pytest.mark.parametrize("images", ["images", "images/*/*.png", "list.csv", "array.npz", "list.csv[:6]"])
def test_whatever_evaluate_takes(images: str, project: Path, run: Run, tmp_path: Path):
    paths = sorted(project.glob("images/*/*.png"))
    (project / "list.csv").write_text("path\n" + "\n".join(str(path) for path in paths))
    np.savez(project / "array.npz", images=np.stack([np.asarray(Image.open(path)) for path in paths]))
    result = run(*CLASSIFY, images, "--top", 1, "--json")
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)["images"]
    assert [image["top"][0]["name"] for image in found] == ["blue", "blue", "green", "green", "red", "red"]


def test_an_image_on_stdin_is_said_once(project: Path):
    picture = (project / "images" / "red" / "0.png").read_bytes()
    command = (sys.executable, "-m", "bitwright.cli", *CLASSIFY, "-")
    found = subprocess.run(command, cwd=project, input=picture, capture_output=True)
    assert found.returncode == 2
    (line,) = [line for line in found.stderr.decode().splitlines() if "error" in line]
    assert "one path a line, but found binary data" in line


def test_a_list_on_stdin(run: Run, monkeypatch: pytest.MonkeyPatch):
    for form in ("table", "csv"):
        monkeypatch.setattr("sys.stdin", io.StringIO("images/red/0.png\n\nnowhere.png\nimages/blue/1.png\n"))
        result = run(*CLASSIFY, "-", "images/green", "--top", 1, "--format", form)
        assert (result.code, result.err) == (1, "bitwright: error: nowhere.png: No such file or directory\n")
        classes = [line.split(",")[3] if form == "csv" else line.split()[-1] for line in result.out.splitlines()]
        assert [name for name in classes[1:] if name] == ["red", "blue", "green", "green"]


def test_an_empty_list_is_an_error(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    result = run(*CLASSIFY, "-")
    assert (result.code, result.out) == (2, "")
    assert "expected images, found an empty list in -" in result.err


def test_lines_of_csv(run: Run):
    result = run(*CLASSIFY, "images/red/0.png", "nowhere.png", "images/blue/1.png", "--top", 2, "--format", "csv")
    assert result.code == 2
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert list(rows[0]) == ["path", "rank", "index", "class", "percent", "error"]
    assert [(row["path"], row["rank"], row["index"], row["class"]) for row in rows] == [
        ("images/red/0.png", "1", "2", "red"),
        ("images/red/0.png", "2", "0", "blue"),
        ("nowhere.png", "", "", ""),
        ("images/blue/1.png", "1", "0", "blue"),
        ("images/blue/1.png", "2", "1", "green"),
    ]
    assert [float(row["percent"]) for row in rows[:2]] == pytest.approx([99.93, 0.03], abs=0.01)
    assert rows[2]["error"] == "nowhere.png: No such file or directory"


def test_lines_of_json(run: Run):
    given = (*CLASSIFY, "images/red/0.png", "nowhere.png", "--threads", 2, "--batch", 1)
    lines = run(*given, "--format", "jsonl").out.splitlines()
    assert [json.loads(line) for line in lines] == json.loads(run(*given, "--format", "json").out)["images"]
    assert len(lines) == 2


@pytest.mark.parametrize("form", ["table", "csv", "jsonl"])
def test_images_are_printed_as_they_are_classified(project: Path, form: str):
    """The first lines come out while the list on stdin is still open, or (a table needs all names) before the last image."""
    command = [sys.executable, "-m", "bitwright", *CLASSIFY, "-", "--top", "1", "--format", form, "--batch", "1"]
    environment = {**os.environ, "PYTHONPATH": SOURCES}
    with subprocess.Popen(command, cwd=project, env=environment, stdin=-1, stdout=-1, text=True, bufsize=1) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for _ in range(4096):
            child.stdin.write("images/red/0.png\n")
        if form == "table":
            child.stdin.close()
        lines = [child.stdout.readline() for _ in range(2)]
        assert "red" in lines[1]
        assert child.poll() is None
        child.kill()


def test_a_json_option_that_contradicts_the_format_is_wrong_usage(run: Run):
    assert run(*CLASSIFY, "images/red/0.png", "--json", "--format", "csv").code == 2
    assert run(*CLASSIFY, "images/red/0.png", "--json", "--format", "json").code == 0
