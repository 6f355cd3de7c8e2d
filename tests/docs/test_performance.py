"""docs/performance.md: the tables have a place for what `python -m bench.page` measures, and every command exists."""

import re
from pathlib import Path

import pytest

from bench.kernels import ALL_POINTWISE, SHAPES
from bench.page import PAGE, TABLES, with_table
from bitwright import _native
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


@pytest.mark.parametrize("page", ["performance.md", "notebook.md", "accuracy.md", "scaling.md", "models.md"])
def test_every_module_that_a_command_names_exists(page: str):
    named = re.findall(r"python -m ((?:bench|demo|scripts)[\w.]*)", (DOCS / page).read_text("utf-8"))
    missing = [name for name in named if not exists(REPOSITORY / name.replace(".", "/"))]
    assert named
    assert not missing


def test_every_table_of_the_page_has_its_command_above_it():
    """Between it and the one before, or the heading: figures that no command reproduces are for the notebook."""
    parts = re.split(r"^#+ .*$", PAGE.read_text("utf-8"), flags=re.MULTILINE)[2:]  # the first one tells what is where
    tables = r"^(?:\|.*\|\n)+|^```\n(?:.*\n)*?```\n"
    found = [above for part in parts for above in re.split(tables, part, flags=re.MULTILINE)[:-1]]
    assert len(found) > 10
    assert [above for above in found if not re.search(r"^    .*python -m bench\.", above, re.MULTILINE)] == []


@pytest.mark.parametrize("name", ["kernels-amx", "kernels-avx512vnni"])
def test_the_tables_of_kernels_have_the_layers_and_kernels_of_today(name: str):
    """Another row, or another name of a kernel: `python -m bench.page --only NAME`."""
    table = PAGE.read_text("utf-8").partition(f"<!-- begin {name} -->")[2].partition("<!-- end")[0]
    rows = re.findall(r"^(.{32}) .{26} (.{30,}?) +[\d.]+ us ", table, re.MULTILINE)
    assert {layer.strip() for layer, _ in rows} == {*(shape.title for shape in SHAPES), *ALL_POINTWISE}
    known = {kernel for _, kernel, _, _ in _native.kernels()}
    assert {kernel.strip() for _, kernel in rows} - known == set()


def exists(path: Path) -> bool:
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()
