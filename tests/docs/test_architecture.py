"""docs/architecture.md: its files exist, its table is the one that is checked, its picture is the one that is drawn."""

import re
import tomllib

from scripts.architecture_picture import BOXES, PAGE, picture
from tests.conftest import REPOSITORY

TEXT = (REPOSITORY / "docs" / "architecture.md").read_text("utf-8")


def exists(name: str) -> bool:
    root = REPOSITORY if name.startswith(("csrc", "docs", "src")) else REPOSITORY / "src" / "bitwright"
    return any(root.glob(name.rstrip("/")))


def test_every_file_that_the_page_names_exists():
    named = [
        name for name in re.findall(r"`([\w./*]+)`", TEXT) if "/" in name or name.endswith((".py", ".cc", ".toml"))
    ]
    missing = [name for name in named if name not in {"pyproject.toml", "photo.jpg"} and not exists(name)]
    assert len(named) > 40
    assert not missing


def test_every_file_in_the_picture_exists():
    missing = [box.file for box in BOXES.values() if not exists(box.file.split(",")[0])]
    assert not missing


def test_the_table_is_what_the_linter_checks():
    contract = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][0]
    table = TEXT.partition("| row |")[2].partition("\n\n")[0]
    rows = [re.findall(r"`([\w.]+)`", line.replace(r"\|", "/").split("|")[1]) for line in table.splitlines()[2:]]
    assert rows == [re.findall(r"[\w.]+", row) for row in contract["layers"]]


def test_the_picture_is_the_one_that_is_drawn():
    assert PAGE.read_text("utf-8") == picture()
