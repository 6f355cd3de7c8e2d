"""The API reference: mkdocs.yml shows every page, the pages show every public name, docstrings every argument and field."""

import dataclasses
import inspect
import re
from typing import Any

import pytest

import bitwright as bw
from bitwright import errors
from tests.conftest import REPOSITORY

pytest.importorskip("torch")

DOCS = REPOSITORY / "docs"
PAGES = "\n".join(path.read_text("utf-8") for path in (DOCS / "api").glob("*.md"))


def test_every_page_is_in_the_navigation():
    shown = set(re.findall(r"[\w/-]+\.md", (REPOSITORY / "mkdocs.yml").read_text("utf-8")))
    assert shown == {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}


@pytest.mark.parametrize("name", bw.__all__)
def test_every_public_name_is_on_a_page(name: str):
    thing = getattr(bw, name)
    members = re.search(rf"::: {re.escape(thing.__module__)}\n    options:\n      members: \[([^]]*)\]", PAGES)
    listed = members[1].split(", ") if members else []
    assert name in listed or f"::: {thing.__module__}.{name}\n" in PAGES


@pytest.mark.parametrize(
    "package", ["audit", "budget", "engine", "gates", "images", "models", "report", "scale", "serve", "training"]
)
def test_every_package_for_users_has_a_page(package: str):
    assert f"::: bitwright.{package}." in PAGES


def arguments(thing: Any) -> list[str]:
    """Fields of a dataclass, arguments of anything else: none of a protocol, and a single one is in the first line anyway."""
    if dataclasses.is_dataclass(thing):
        return [field.name for field in dataclasses.fields(thing)]
    found = [] if getattr(thing, "_is_protocol", False) else list(inspect.signature(thing).parameters)
    return found if len(found) > 1 else []


@pytest.mark.parametrize("name", bw.__all__)
def test_a_public_docstring_says_what_each_argument_and_field_is(name: str):
    text = inspect.getdoc(getattr(bw, name))
    assert text
    missing = [each for each in arguments(getattr(bw, name)) if not re.search(rf"^ +{each}: ", text, re.MULTILINE)]
    assert not missing


def test_every_error_is_in_the_tree_of_its_module():
    named = set(re.findall(r"(\w+(?:Error|Warning))\b", errors.__doc__ or ""))
    ours = {n for n, e in vars(errors).items() if inspect.isclass(e) and issubclass(e, Exception | Warning)}
    assert named == ours
