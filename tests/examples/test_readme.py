"""examples/README.md: every example has its row, and what a row names is there."""

import re

from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "examples"
PAGE = (FOLDER / "README.md").read_text("utf-8")


def test_every_example_has_its_row():
    rows = re.findall(r"^\| `([\w./]+)`: ", PAGE, re.MULTILINE)
    named = {name.partition("/")[0] for name in rows}
    assert named == {path.name for path in FOLDER.iterdir()} - {"README.md", "__pycache__"}
    assert [name for name in rows if not (FOLDER / name).exists()] == []


def test_the_readme_leads_to_it():
    assert "(examples/README.md)" in (REPOSITORY / "README.md").read_text("utf-8")
