"""Ray on this machine: what its workers answer is what one process answers, each image once, whoever is killed meanwhile."""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bitwright as bw
from bitwright.cli import main
from bitwright.errors import CalibrationError, SourceError
from bitwright.scale.classifying import classify, evaluate
from bitwright.scale.cluster import cluster
from bitwright.scale.probes import OnRay
from bitwright.scale.remote import open_anywhere
from tests.conftest import REPOSITORY

pytest.importorskip("ray", reason="needs ray: pip install 'bitwright[ray]'")
parquet = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("sklearn")
pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")  # those of Ray
IMAGES = 240


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A cluster of two processors for all tests of this file: to start one takes longer than they do."""
    with cluster() as module:
        yield module


@pytest.fixture(scope="module")
def model() -> bw.Artifact:
    from tests.test_ranks import PREPROCESS, network

    return bw.quantize(network(), bw.open_source("digits[:100]"), preprocess=PREPROCESS, classes=list("0123456789"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits as files in class folders, two of them damaged."""
    folder, source = tmp_path_factory.mktemp("digits"), bw.open_source(f"digits[:{IMAGES}]")
    assert source.labels is not None
    for i, label in enumerate(source.labels):
        path = folder / str(label) / f"{i:04}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.asarray(source.read(i)).reshape(8, 8)).save(path)
        if i in (7, 100):
            path.write_bytes(b"nothing")
    return folder


def rows(out: Path) -> list[dict[str, Any]]:
    """All answers, in the order of the parts."""
    return [row for path in sorted(out.glob("*.parquet")) for row in parquet.read_table(path).to_pylist()]


def expect_all(out: Path, model: bw.Artifact, source: Any) -> None:
    """Every image has one answer, that of one process alone."""
    found, expected = rows(out), bw.Classifier(model, threads=1)(source, top=3)
    assert [row["image"] for row in found] == [prediction.image for prediction in expected]
    assert [row["error"] for row in found] == [prediction.error for prediction in expected]
    assert [row["names"] for row in found] == [[guess.name for guess in p.top] for p in expected]
    shares = [[np.float32(guess.probability) for guess in p.top] for p in expected]
    assert [row["probabilities"] for row in found] == shares


def pids(text: str) -> list[int]:
    """The processes that call themselves so."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text in path.read_bytes().decode(errors="replace"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


class Kills:
    """A `Progress` that kills one worker with SIGKILL when the first images are done."""

    def __init__(self) -> None:
        self.killed: list[int] = []

    def at(self, what: str, done: float, total: float, details: object = None) -> None:
        if not self.killed and (found := pids("ray::MapWorker(Map(Worker))")):
            os.kill(found[0], signal.SIGKILL)
            self.killed.append(found[0])

    def say(self, text: str) -> None:
        raise AssertionError(text)


@pytest.fixture(scope="module")
def answered(ray: Any, model: bw.Artifact, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The answers of two workers, one of which was killed."""
    out, kills = tmp_path_factory.mktemp("out"), Kills()
    found = classify(model, bw.open_source(folder), out, top=3, part=2, workers=2, progress=kills)
    assert len(kills.killed) == 1
    assert (found.images, found.bad, found.parts, found.before) == (IMAGES, 2, IMAGES // 2, 0)
    return out


def test_a_killed_worker_loses_and_doubles_nothing(answered: Path, model: bw.Artifact, folder: Path) -> None:
    expect_all(answered, model, bw.open_source(folder))


def test_evaluation_is_that_of_one_process(answered: Path, model: bw.Artifact, folder: Path) -> None:
    source = bw.open_source(folder)
    assert evaluate(model, source, answered, top=3, part=2) == bw.evaluate(model, source)


def test_a_folder_holds_the_answers_of_one_job(answered: Path, model: bw.Artifact, folder: Path) -> None:
    source = bw.open_source(folder)
    with pytest.raises(SourceError, match=r"another job \(images, source differ\)"):
        classify(model, source.head(100), answered, top=3, part=2)
    with pytest.raises(SourceError, match=r"another job \(top differ\)"):
        classify(model, source, answered, part=2)


def test_a_killed_driver_is_gone_on_from(ray: Any, model: bw.Artifact, folder: Path, tmp_path: Path) -> None:
    out, path = tmp_path / "out", tmp_path / "m.bw.safetensors"
    model.save(path)
    address = ray.get_runtime_context().gcs_address
    command = [
        sys.executable,
        "-m",
        "bitwright",
        "classify",
        path,
        folder.as_uri(),
        "--ray",
        address,
        "-o",
        out,
        "--part",
        "1",
    ]
    driver = subprocess.Popen([*map(str, command), "--top", "3"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    with driver:
        end = time.monotonic() + 120
        while len(list(out.glob("*.parquet"))) < 5:
            assert driver.poll() is None, driver.stderr and driver.stderr.read()
            assert time.monotonic() < end
            time.sleep(0.002)
        driver.send_signal(signal.SIGKILL)
    assert driver.returncode == -signal.SIGKILL
    source = open_anywhere(folder.as_uri())
    found = classify(model, source, out, top=3, part=1)
    assert 5 <= found.before < found.parts == IMAGES
    expect_all(out, model, source)
    before = {entry: entry.stat().st_mtime_ns for entry in out.iterdir()}
    assert classify(model, source, out, top=3, part=1).before == IMAGES
    assert {entry: entry.stat().st_mtime_ns for entry in out.iterdir()} == before


def test_images_of_an_array_are_evaluated_as_in_one_process(ray: Any, model: bw.Artifact, tmp_path: Path) -> None:
    source = bw.open_source(f"digits[:{IMAGES}]")
    assert evaluate(model, source, (tmp_path / "out").as_uri(), part=100) == bw.evaluate(model, source)


def measured(where: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Any, ...]:
    """What `sensitivity` prints of the layers, and the bytes of all files of `search`, with no names of folders in them."""
    from tests.test_ranks import DESCRIBED

    options = ["tests.test_ranks:network", "--data", "digits[:200]", *DESCRIBED, "--no-cache", "--bits", "4,2"]
    options += [*where, "--calibrate", "64", "--json"]
    capsys.readouterr()
    assert main(["sensitivity", *options]) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert main(["search", *options, "--max-drop", "5", "--force", "-o", str(folder / "found")]) == 0
    files = {path.name: path.read_text("latin-1").replace(str(folder), "") for path in folder.iterdir()}
    return layers, files


def test_sensitivity_and_search_find_in_the_cluster_what_they_find_here(
    ray: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = {"--jobs=1": tmp_path / "here", "--ray": tmp_path / "ray"}
    for folder in folders.values():
        folder.mkdir()
    here, there = (measured((where,), folder, capsys) for where, folder in folders.items())
    assert len(here[1]) == 4
    assert here == there


class Refuses:
    """A probe that cannot measure."""

    def measure(self, task: Any) -> list[Any]:
        raise CalibrationError(f"no range for {task}")


def test_a_probe_raises_there_what_it_raises_here(ray: Any) -> None:
    with pytest.raises(CalibrationError, match="no range for layer 1"):
        list(OnRay()(Refuses(), ["layer 1"]))  # type: ignore[arg-type,list-item]


def test_the_example_answers_for_each_image_of_a_folder(
    ray: Any, model: bw.Artifact, folder: Path, tmp_path: Path
) -> None:
    path = REPOSITORY / "examples" / "ray" / "classify_folder.py"
    main = runpy.run_path(str(path), run_name="classify_folder")["main"]
    model.save(tmp_path / "m")
    some = folder / "7"
    main(str(tmp_path / "m"), str(some), str(tmp_path / "out"))
    expected = {
        str(p.image): (None, None) if p.error else (p.top[0].name, np.float32(p.top[0].probability))
        for p in bw.Classifier(model, threads=1)(sorted(some.iterdir()), top=1)
    }
    found = {
        row["path"]: (row["name"], None if np.isnan(row["probability"]) else np.float32(row["probability"]))
        for row in rows(tmp_path / "out")
    }
    assert found == expected
    assert len(found) > list(found.values()).count((None, None)) == 1
