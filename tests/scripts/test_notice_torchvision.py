"""What `make` says of a torchvision that does not load."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

SCRIPT = REPOSITORY / "scripts" / "notice_torchvision.py"


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("raise RuntimeError('operator torchvision::nms does not exist')", "torchvision::nms does not exist"),
        ("raise ImportError('libcudart.so.13: cannot open')", "libcudart.so.13"),
        ("import torchvision_needs_this", "No module named 'torchvision_needs_this'"),
        ("", None),
    ],
)
def test_only_one_that_does_not_load_is_said(tmp_path: Path, module: str, said: str | None):
    (tmp_path / "torchvision.py").write_text(module)
    code = f"import sys, runpy; sys.path.insert(0, {str(tmp_path)!r}); runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == ""
    if said is None:
        assert found.stderr == ""
    else:
        assert said in found.stderr
        assert "torchvision is installed but does not load" in found.stderr
        assert "--index-url" in found.stderr


def test_make_runs_it():
    assert "scripts/notice_torchvision.py" in (REPOSITORY / "Makefile").read_text()
