"""Fixtures that more than one test file needs."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """No test forks its own process: PyTorch's and Ray's threads run here, and a child waits for ever for their locks."""

    def refuse() -> NoReturn:
        raise AssertionError(
            "a child that is forked here may wait for locks of other threads for ever: start a process"
        )

    os.fork = refuse


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first: the last of them would keep one process busy when the others have nothing left to take."""
    items.sort(key=lambda item: item.path.name != "test_accuracy.py")


def data_folder() -> Path:
    """Where real images and models are: $BITWRIGHT_DATA, or shared/data beside the repository."""
    given = os.environ.get("BITWRIGHT_DATA")
    return Path(given) if given else REPOSITORY.parent / "shared" / "data"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with real images and models; where there is none, the test is skipped."""
    folder = data_folder()
    if not folder.is_dir():
        pytest.skip(f"needs real data, and there is no folder {folder}; set BITWRIGHT_DATA to the one that holds it")
    return folder


@pytest.fixture(scope="session")
def torchvision() -> Iterator[ModuleType]:
    """torchvision, also where its compiled operators don't fit the installed torch (they are not needed here)."""
    torch = pytest.importorskip("torch")
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("needs torchvision")
    library = None
    try:
        module = importlib.import_module("torchvision")
    except RuntimeError:  # operator torchvision::nms does not exist: declare it, and import again from scratch
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        module = importlib.import_module("torchvision")
    yield module
    del library  # the operators live as long as it does
