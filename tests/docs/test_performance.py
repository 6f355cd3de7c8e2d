"""docs/performance.md: the tables have a place for what `python -m bench.page` measures, and every command exists."""

import re
from pathlib import Path

import pytest

from bench.page import PAGE, TABLES, with_table
from tests.conftest import REPOSITORY

DOCS = REPOSITORY / "docs"


@pytest.mark.parametrize("name", TABLES)
def test_every_table_that_is_measured_has_its_place_on_the_page(name: str):
    page = PAGE.read_text("utf-8")
    changed = with_table(page, name, "what was measured\n")
    before, _, after = changed.partition("what was measured\n")
    assert page.startswith(before)
    assert page.endswith(after)
    assert len(changed) < len(page)


@pytest.mark.parametrize("page", ["performance.md", "notebook.md", "accuracy.md"])
def test_every_module_that_a_command_names_exists(page: str):
    named = re.findall(r"python -m ((?:bench|demo|scripts)[\w.]*)", (DOCS / page).read_text("utf-8"))
    missing = [name for name in named if not exists(REPOSITORY / name.replace(".", "/"))]
    assert named
    assert not missing


def exists(path: Path) -> bool:
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()
