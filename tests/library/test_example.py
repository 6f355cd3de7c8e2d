"""examples/c: found by find_package where the library is installed; it classifies pixels without Python."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

import bitwright as bw
from tests import pinned
from tests.conftest import REPOSITORY
from tests.library.library import Library, build_folder, cmake

MOST_BYTES = 2_000_000
ARTIFACT = REPOSITORY / "examples" / "cifar10" / "resnet20-w4a4.bw.safetensors"


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    installed, folder = tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("example")
    cmake("--install", build_folder() / "csrc" / "library", "--prefix", installed)
    cmake("-S", REPOSITORY / "examples" / "c", "-B", folder, f"-DCMAKE_PREFIX_PATH={installed}")
    cmake("--build", folder)
    return folder


def linked(program: Path) -> str:
    return subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", ["classify", "classify_static"])
def test_it_says_what_python_says(programs: Path, tmp_path: Path, name: str) -> None:
    artifact = bw.load(ARTIFACT)
    images = pinned.images("example", artifact.preprocess.shape)
    pixels = tmp_path / "pixels"
    pixels.write_bytes(images.tobytes())
    program = programs / name
    done = subprocess.run([program, ARTIFACT, pixels], capture_output=True, text=True, check=True)
    said = [line.rsplit(" ", 1) for line in done.stdout.splitlines()]
    logits = bw.Engine(artifact)(images)
    assert [name for name, _ in said] == [artifact.class_names[i] for i in logits.argmax(axis=1)]
    assert [np.float32(logit) for _, logit in said] == list(logits.max(axis=1))
    assert "python" not in linked(program).lower()
    assert ("libbitwright" in linked(program)) == (name == "classify")
    assert program.stat().st_size <= MOST_BYTES


def test_it_says_what_is_wrong(programs: Path, tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"{}")
    for given, said in (
        (["x"], "expected ARTIFACT"),
        ([tmp_path / "bad", "x"], "not a safetensors"),
        ([ARTIFACT, tmp_path / "none"], "pixels"),
    ):
        done = subprocess.run([programs / "classify", *given], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert said in done.stderr


def test_the_library_is_small_and_shows_its_functions_alone() -> None:
    library = Library().path
    assert library.stat().st_size <= MOST_BYTES
    listed = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1] for line in listed.splitlines()}
    header = (REPOSITORY / "csrc" / "include" / "bitwright.h").read_text("utf-8")
    assert len(names) == 10
    assert all(f"{name}(" in header for name in names)
