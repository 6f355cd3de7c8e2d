"""`python -m bench.NAME`: where no peer is installed each still says what it takes, and what is not there is told in a line."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY

NEEDED = ("fastapi", "onnx", "sklearn", "torch", "torchvision", "uvicorn", "uvloop")
pytestmark = pytest.mark.skipif(not all(map(find_spec, NEEDED)), reason=f"needs {', '.join(NEEDED)}")

COMMANDS = sorted(
    path.stem
    for path in (REPOSITORY / "bench").glob("*.py")
    if '\nif __name__ == "__main__"' in path.read_text("utf-8")
)
NONE = "/nowhere/it"
MISSING = {
    "accuracy": [NONE],
    "classify": ["--model", NONE],
    "damaged": [NONE],
    "defaults": [NONE],
    "flips": [NONE],
    "hub": [NONE],
    "late_norms": [NONE],
    "malformed": [NONE],
    "mutated": ["--file", NONE],
    "orders": [NONE],
    "overload": ["--weights", NONE, NONE],
    "pair": [sys.executable, sys.executable, NONE],
    "plain": [NONE, "8199", "1"],
    "pointwise_pair": [NONE, NONE],
    "same_logits": [NONE, sys.executable],
    "scale": ["calibrate", "--data", NONE],
    "scale_rank": ["calibrate", NONE, "8"],
    "serve": [NONE],
    "soak": [NONE],
    "startup": [NONE],
    "textlines": [NONE],
}
"""Arguments that name a file or a folder that is not there, of every command that reads one."""
OTHERS = [("scale", ["model", "--record", NONE]), ("same_logits", [".", NONE]), ("pair", [NONE, NONE, "."])]

PROGRAM = """
import contextlib, io, json, runpy, sys

sys.modules.update(dict.fromkeys(("nncf", "onnxruntime", "openvino", "torchao")))  # whoever imports these fails
found = []
for name, arguments in json.load(sys.stdin):
    sys.argv, out, err = [name, *arguments], io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_module(f"bench.{name}", run_name="__main__")
            status = 0
        except SystemExit as end:
            status = end.code
        except Exception as error:
            status = repr(error)
    found.append((status, out.getvalue(), err.getvalue()))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def ends() -> dict[str, list[Any]]:
    """Status, stdout and stderr by the words of a command. One process runs them all: most of their time is importing torch."""
    asked = [(name, ["--help"]) for name in COMMANDS] + list(MISSING.items()) + OTHERS
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    given = json.dumps(asked)
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    return {" ".join([name, *words]): end for (name, words), end in zip(asked, json.loads(done.stdout), strict=True)}


@pytest.mark.parametrize("name", COMMANDS)
def test_it_says_what_it_takes(ends: dict[str, list[Any]], name: str):
    status, out, _ = ends[f"{name} --help"]
    assert status == 0
    assert out.lower().startswith("usage:")


@pytest.mark.parametrize(("name", "arguments"), [*MISSING.items(), *OTHERS])
def test_what_is_not_there_is_told_in_a_line(ends: dict[str, list[Any]], name: str, arguments: list[str]):
    status, _, err = ends[" ".join([name, *arguments])]
    assert status == 2
    assert f"{NONE}" in err.splitlines()[-1]


def test_every_command_with_a_path_that_has_to_be_there_is_tried():
    sources = {name: Path(REPOSITORY, "bench", f"{name}.py").read_text("utf-8") for name in COMMANDS}
    assert {name for name, source in sources.items() if "=existing" in source} - set(MISSING) == set()
    read = re.compile(r"""_argument\("\w+", (?!.*=existing).*=Path""")
    assert {name for name, source in sources.items() if read.search(source)} == {"small_onnx", "write_artifacts"}


def test_every_option_that_a_document_gives_is_one(ends: dict[str, list[Any]]):
    pages = [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md"), *(REPOSITORY / "bench").glob("*.py")]
    commands = [
        found for page in pages for found in re.findall(r"python -m bench\.(\w+)([^`;#|\n]*)", page.read_text("utf-8"))
    ]
    given = {(name, option) for name, words in commands for option in re.findall(r"--[a-z-]+", words)}
    assert len(given) > 50
    assert [(name, option) for name, option in sorted(given) if option not in ends[f"{name} --help"][1]] == []
