"""docs/models.md: every model that comes with the package is in the table, with what its record and its file say."""

import re

import pytest

import bitwright as bw
from bitwright.hub import MODELS
from tests.conftest import REPOSITORY

ROWS = {
    cells[0].strip("`"): cells
    for line in (REPOSITORY / "docs/models.md").read_text("utf-8").splitlines()
    if line.startswith("| `") and (cells := [cell.strip() for cell in line.strip("|").split("|")])
}


def test_rows_are_of_models_that_there_are():
    assert ROWS.keys() <= MODELS.keys()
    for name, cells in ROWS.items():
        assert cells[1:3] == [f"`{MODELS[name].network}`", f"`{MODELS[name].bits}`"]


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if model.is_trained])
def test_what_comes_with_it_is_in_the_table(name: str):
    file, cells = MODELS[name].file, ROWS[name]
    measured = bw.load(file).provenance["measured"]
    assert cells[5] == f"{measured['top1']:.2f}"
    assert cells[8] == f"{file.stat().st_size:,}"


def test_each_row_has_its_command():
    commands = re.findall(
        r"^bitwright zoo make (\S+) ", (REPOSITORY / "docs/models.md").read_text("utf-8"), re.MULTILINE
    )
    assert list(ROWS) == commands
