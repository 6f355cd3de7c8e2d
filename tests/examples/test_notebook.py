"""examples/digits.ipynb: its cells run in their order and print the same twice; the file holds no outputs."""

import ast
import json
from typing import Any

import pytest

from tests.conftest import REPOSITORY

pytest.importorskip("torch")
pytest.importorskip("sklearn")
NOTEBOOK = json.loads((REPOSITORY / "examples" / "digits.ipynb").read_text())
CELLS = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def shown(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """By cell what it prints, or else the value of its last expression, as a notebook shows it."""
    names: dict[str, Any] = {}
    found = {}
    for cell in CELLS:
        *statements, last = ast.parse("".join(cell["source"])).body
        if not isinstance(last, ast.Expr):
            statements.append(last)
        exec(compile(ast.Module(statements, []), cell["id"], "exec"), names)
        value = (
            eval(compile(ast.Expression(last.value), cell["id"], "eval"), names) if isinstance(last, ast.Expr) else None
        )
        found[cell["id"]] = capsys.readouterr().out or value
    return found


def test_the_cells_run_and_show_the_same_twice(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = shown(capsys), shown(capsys)
    assert first["data"] == (1437, 360)
    assert first["quantize"]._repr_html_() == second["quantize"]._repr_html_()
    assert float(first["evaluate"].split(" %")[0]) > 90
    assert first["show"].size == (128, 128)
    lines = {name: text.splitlines() for name, text in first.items() if isinstance(text, str)}
    assert [len(lines[name]) for name in ("evaluate", "classify", "sensitivity")] == [1, 5, 9]
    assert lines == {name: text.splitlines() for name, text in second.items() if isinstance(text, str)}


def test_the_file_holds_no_outputs() -> None:
    assert [cell["id"] for cell in CELLS if cell["outputs"] or cell["execution_count"] is not None] == []
