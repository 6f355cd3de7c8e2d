"""docs/embedding.md: its C compiles as it stands, and every function of the header is explained."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "embedding.md").read_text("utf-8")
INCLUDE = REPOSITORY / "csrc" / "include"


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_its_c_compiles(tmp_path: Path):
    (code,) = re.findall(r"^```c\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "page.c").write_text(code)
    options = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-fsyntax-only", f"-I{INCLUDE}"]
    done = subprocess.run(["cc", *options, tmp_path / "page.c"], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0


def test_every_function_of_the_header_has_its_row():
    header = (INCLUDE / "bitwright.h").read_text("utf-8")
    functions = set(re.findall(r"^BITWRIGHT_API .*?(bitwright_\w+)\(", header, re.MULTILINE))
    rows = {
        name
        for line in PAGE.splitlines()
        if line.startswith("|")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert len(functions) == 10
    assert {name for name in rows if name.startswith("bitwright_")} == functions
