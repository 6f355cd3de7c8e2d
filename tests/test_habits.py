"""What holds for every source at once: data that does not change is frozen."""

import dataclasses
import importlib
import pkgutil
import sys
from collections.abc import Iterator

import pytest

import bitwright

CHANGED = {
    "Tries": "the best of several tries so far",
    "Trials": "remedies that were tried so far",
    "_Study": "an audit on its way",
    "_Both": "what a walk through two models has computed",
    "_Waiting": "a job that is still to be answered",
}
"""Dataclasses that are not frozen, and why."""


def classes() -> Iterator[type]:
    """Every dataclass that a module of the package defines."""
    pytest.importorskip("torch")
    for found in pkgutil.walk_packages(bitwright.__path__, "bitwright."):
        if found.name.endswith("__main__"):  # it would run
            continue
        try:
            module = importlib.import_module(found.name)
        except ModuleNotFoundError as error:  # of an extra that is not installed
            assert not str(error.name).startswith("bitwright"), error
            continue
        for thing in vars(module).values():
            if isinstance(thing, type) and thing.__module__ == module.__name__ and dataclasses.is_dataclass(thing):
                yield thing


def test_a_dataclass_is_frozen_or_says_why_not() -> None:
    found = list(classes())
    assert len(found) > 90
    open_ones = {kind.__name__ for kind in found if not kind.__dataclass_params__.frozen}  # type: ignore[attr-defined]
    assert open_ones == set(CHANGED)
    assert "bitwright.serve.lane" in sys.modules
