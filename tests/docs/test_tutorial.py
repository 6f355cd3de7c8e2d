"""docs/tutorial.md: every file that it shows is written, every command that it shows is run, in an empty folder."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import bitwright as bw
from tests.conftest import REPOSITORY

pytest.importorskip("torch")
pytest.importorskip("sklearn")

PAGE = (REPOSITORY / "docs" / "tutorial.md").read_text("utf-8")


def run(line: str, folder: Path) -> str:
    """What a command of the page prints, run in `folder` by this Python."""
    program, *arguments = shlex.split(line)
    start = {"python": [sys.executable], "bitwright": [sys.executable, "-m", "bitwright"]}[program]
    done = subprocess.run([*start, *arguments], cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error::DeprecationWarning:__main__"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which everything of the page was done."""
    folder = tmp_path_factory.mktemp("tutorial")
    printed: dict[str, str] = {}
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE):
        if language == "python":
            name = re.match(r"# (\w+\.py)\n", text)
            assert name, text
            (folder / name[1]).write_text(text)
        else:
            assert language == "sh"
            printed |= {line: run(line, folder) for line in text.splitlines()}
    (folder / "printed.json").write_text(json.dumps(printed))
    return folder


def test_the_integers_are_as_good_as_the_page_promises(folder: Path):
    found = bw.evaluate(folder / "digits.bw.safetensors", "digits[::5]")
    assert found.top1 is not None
    assert found.top1 > 95


def test_four_bits_take_fewer_bytes(folder: Path):
    small, large = ((folder / name).stat().st_size for name in ("small.bw.safetensors", "digits.bw.safetensors"))
    assert small < 0.9 * large


def test_what_runs_without_torch_prints_the_names_that_the_page_says(folder: Path):
    printed = json.loads((folder / "printed.json").read_text())
    said = re.search(r"pictures are an (\d), a (\d) and a (\d)", PAGE)
    assert said
    assert printed["python use.py"].splitlines() == [f"picture{i}.png {said[i + 1]}" for i in range(3)]
