"""What a benchmark asks for before it begins, told in a line where it is not there."""

import argparse
import importlib.util
import shutil
from pathlib import Path


def existing(path: str) -> Path:
    """An argument's type: a file or a folder that is there."""
    if not Path(path).exists():
        raise argparse.ArgumentTypeError(f"expected a file or a folder, found none at {path}")
    return Path(path)


def program(name: str) -> str:
    """An argument's type: a program, by its path or as the shell finds it."""
    if shutil.which(name) is None:
        raise argparse.ArgumentTypeError(f"expected a program, found none at {name}")
    return name


def toolkits(*names: str) -> None:
    """SystemExit where one of these modules, which are measured beside bitwright, is not installed."""
    if missing := [name for name in names if importlib.util.find_spec(name) is None]:
        raise SystemExit(
            f"expected the toolkits to compare with, found no {', '.join(missing)}: pip install '.[bench]'"
        )
