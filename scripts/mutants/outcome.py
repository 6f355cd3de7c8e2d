"""What becomes of a mutant: each file of tests runs in a fork of this process, with the mutant in place of its module."""

import contextlib
import os
import resource
import signal
import sys
import tempfile
from pathlib import Path

import pytest
import torch.export  # noqa: F401  large: imported once, before the forks

from scripts.mutants.mutant import SOURCE, Mutant
from scripts.mutants.tests_of import tests_of

WAITS = 20
"""So many times its seconds of a processor may pass before a file of tests counts as hanging."""

HOOK = """
import importlib.abc, importlib.util, os, sys
class Mutant(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["MUTANT_MODULE"]:
            places = [os.environ["MUTANT_FOLDER"]] if os.environ["MUTANT_FOLDER"] else None
            return importlib.util.spec_from_file_location(
                name, os.environ["MUTANT_FILE"], submodule_search_locations=places)
sys.meta_path.insert(0, Mutant())
"""


def outcome(mutant: Mutant, seconds: float) -> tuple[str, str]:
    """killed, timeout (which counts as killed) or survived; and by which file of tests."""
    for test in tests_of(mutant.path):
        found = outcome_of(mutant, test, seconds)
        if found != "survived":
            return found, test
    return "survived", ""


def outcome_of(mutant: Mutant, test: str, seconds: float) -> str:
    """What becomes of the mutant in one file of tests: a fork of this process, which has imported what is large."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "mutated.py").write_text(mutant.code)
        (Path(folder) / "sitecustomize.py").write_text(HOOK)
        child = os.fork()
        if not child:
            _run(mutant, test, Path(folder), seconds)
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what it has started
    if os.WIFSIGNALED(status):
        return "timeout" if os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGALRM) else "killed"
    return "survived" if os.WEXITSTATUS(status) in (0, pytest.ExitCode.NO_TESTS_COLLECTED) else "killed"


def _run(mutant: Mutant, test: str, folder: Path, seconds: float) -> None:
    """In the fork: run the tests with the mutant in place of its module, and end with pytest's exit status."""
    names = ["bitwright", *mutant.path.relative_to(SOURCE).with_suffix("").parts]
    package = names[-1] == "__init__"
    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 5))
    signal.alarm(int(WAITS * seconds))
    with open(os.devnull, "r+b") as nothing:
        for stream in range(3):
            os.dup2(nothing.fileno(), stream)
    os.environ |= {
        "MUTANT_MODULE": ".".join(names[:-1] if package else names),
        "MUTANT_FILE": str(folder / "mutated.py"),
        "MUTANT_FOLDER": str(mutant.path.parent) if package else "",
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(folder))  # processes that are started with this one's path get the mutant as well
    exec(HOOK, {})
    os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", test]))
