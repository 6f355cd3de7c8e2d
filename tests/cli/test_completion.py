"""`bitwright completion`: scripts that shells can read, and what they complete."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.cli.conftest import Run


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_script_is_one_that_the_shell_can_read(run: Run, shell: str):
    result = run("completion", shell)
    assert result.code == 0
    assert "_BITWRIGHT_COMPLETE" in result.out
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=result.out, capture_output=True, text=True)
        assert (checked.returncode, checked.stderr) == (0, "")


def test_another_shell_is_refused(run: Run):
    result = run("completion", "csh")
    assert result.code == 2
    assert "csh" in result.err


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("bitwright ch", {"check"}), ("bitwright check --ju", {"--junit"}), ("bitwright completion z", {"zsh"})],
)
def test_what_is_completed(typed: str, expected: set[str]):
    """As the script of bash asks for it, which `bitwright completion bash` prints."""
    words = typed.split()
    asked = {"_BITWRIGHT_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    code = "from bitwright.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True, check=True
    )
    assert {line.partition(",")[2] for line in done.stdout.split()} == expected
