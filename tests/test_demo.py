"""The demo, on a tiny setting: its pieces, and its second process with torch blocked."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bitwright as bw
from tests.conftest import REPOSITORY

pytest.importorskip("torch")
pytest.importorskip("sklearn")

import torch

from demo.__main__ import CALIBRATED, RECIPES, TRAINED, run
from demo.classify import Row, measure, table
from demo.network import SmallResNet
from demo.pictures import SIZE, write_pictures
from demo.train import augment

EVERY = 7


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As in the demo: such small products are no work for two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """A folder in which the demo has run, with few pictures and two epochs."""
    folder = tmp_path_factory.mktemp("demo")
    run(folder, epochs=2, every=EVERY)
    return folder


def test_pictures_are_the_same_each_time_and_of_each_class(tmp_path):
    first, second = (write_pictures(tmp_path / name, every=EVERY) for name in ("first", "second"))
    assert set(first) == {"train", "heldout"}
    for split in first:
        source, again = bw.open_source(first[split]), bw.open_source(second[split])
        assert source.classes == tuple("0123456789")
        assert len(source) == len(again) == {"train": 206, "heldout": 51}[split]
        for i in range(len(source)):
            picture = source.read(i)
            assert isinstance(picture, Image.Image)
            assert (picture.mode, picture.size) == ("RGB", (SIZE, SIZE))
            np.testing.assert_array_equal(np.asarray(picture), np.asarray(again.read(i)))


def test_pictures_leave_nothing_of_an_earlier_run(tmp_path):
    write_pictures(tmp_path, every=EVERY)
    stale = tmp_path / "heldout" / "9" / "stale.png"
    stale.touch()
    write_pictures(tmp_path, every=EVERY)
    assert not stale.exists()


def test_network_and_augmentation_keep_shapes():
    x = torch.linspace(-2, 2, 4 * 3 * SIZE * SIZE).reshape(4, 3, SIZE, SIZE)
    assert SmallResNet().eval()(x).shape == (4, 10)
    torch.manual_seed(0)
    moved = augment(x)
    assert moved.shape == x.shape
    assert not torch.equal(moved, x)
    assert moved.min() >= x.min()
    assert moved.max() <= x.max()
    flat = torch.ones_like(x)
    torch.testing.assert_close(augment(flat), flat)


def test_run_leaves_an_artifact_per_recipe_that_knows_its_classes(out):
    record = json.loads((out / "demo.json").read_text())
    assert list(record["artifacts"]) == list(RECIPES)
    assert set(record["answers"].values()) <= set("0123456789")
    for recipe, path in record["artifacts"].items():
        artifact = bw.load(path)
        assert artifact.classes == tuple("0123456789")
        assert artifact.provenance["recipe"]["name"] == recipe.split("-")[0]
        assert (artifact.preprocess.encoder is None) == ("-" not in recipe)
        assert len(artifact.data) < Path(record["float"]).stat().st_size / 2


def test_the_same_seed_gives_the_same_bytes(out, tmp_path, monkeypatch):
    """The float network, one that is calibrated and one that is trained, whichever were trained before it."""
    trained = "w1a2"
    monkeypatch.setattr("demo.__main__.TRAINED", {trained: TRAINED[trained]})
    run(tmp_path, epochs=2, every=EVERY)
    for name in ("float32.safetensors", *(f"{recipe}.bw.safetensors" for recipe in (*CALIBRATED, trained))):
        assert (tmp_path / f"digits-{name}").read_bytes() == (out / f"digits-{name}").read_bytes()


def test_rows_are_measured_on_the_files(out):
    rows = measure(out)
    assert [row.name for row in rows] == ["float32", *RECIPES]
    assert rows[0].agreement is None
    for row in rows[1:]:
        assert row.agreement is not None
        assert row.agreement >= 80 or row.name not in CALIBRATED  # two epochs are no training
        assert row.size_bytes == Path(row.path).stat().st_size
    record = json.loads((out / "demo.json").read_text())
    right = sum(Path(path).parent.name == answer for path, answer in record["answers"].items())
    assert rows[0].accuracy == pytest.approx(100 * right / len(record["answers"]))


def test_the_second_process_prints_the_table_without_torch(out):
    command = [sys.executable, "-m", "demo.classify", str(out)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "51 held-out pictures" in done.stdout
    for name in ("float32", *RECIPES):
        assert name in done.stdout
    assert str(out / "digits-w8a8.bw.safetensors") in done.stdout


def test_torch_is_blocked_where_it_should_be():
    code = "from demo.without_torch import block_torch; block_torch(); import torch"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "torch is blocked in this process" in done.stderr


def test_the_example_of_the_readme_runs_after_the_demo(out):
    text = (REPOSITORY / "README.md").read_text("utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    picture = next((out / "pictures" / "heldout" / "7").iterdir())
    smaller = example.replace("512", "64").replace("0002.png", picture.name).replace("demo-out", str(out))
    done = subprocess.run([sys.executable, "-c", smaller], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer, top1 = done.stdout.split()
    assert answer in "0123456789"
    assert 0 <= float(top1) <= 100


def test_table_shows_what_it_is_given():
    result = table([Row("float32", 98.0, None, 400, "f"), Row("w8a8", 97.5, 99.0, 100, "a")], 200)
    assert result.row_count == 2
    cells = [list(column.cells) for column in result.columns]
    assert cells == [["float32", "w8a8"], ["98.00 %", "97.50 %"], ["", "99.00 %"], ["400", "100"], ["100 %", "25 %"]]
