"""The example of docs/plugins.md runs, and prints what it says."""

import re
import tomllib
from pathlib import Path

import pytest
import torch

import bitwright as bw
from bitwright.plugins import TABLES, table
from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "plugins.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("scheme", "range", "onnx_op"):
        monkeypatch.setattr(table(kind), "_added", {})
    module, call, use, onnx_op = blocks("python")
    (tmp_path / "acme_docs.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    code = "import numpy as np\n" + call.replace("acme_quant", "acme_docs") + use
    exec(compile(code, "docs/plugins.md", "exec"), {})
    printed = re.findall(r"^print\(.*  # (.*)$", use, re.MULTILINE)
    assert len(printed) == 3
    assert capsys.readouterr().out.splitlines() == printed
    exec(compile(onnx_op, "docs/plugins.md", "exec"), {"bw": bw, "torch": torch})
    assert table("onnx_op")["com.acme.Saturate"].__name__ == "saturate"


def test_the_entry_points_name_what_the_example_defines() -> None:
    (text,) = blocks("toml")
    groups = tomllib.loads(text)["project"]["entry-points"]
    assert {group.removeprefix("bitwright.") for group in groups} <= set(TABLES)
    for points in groups.values():
        for name, target in points.items():
            module, _, attribute = target.partition(":")
            assert f"# {module}.py" in PAGE
            assert re.search(rf'class {attribute}\(.*?name = "{name}"', PAGE, re.DOTALL)


def test_every_kind_is_in_the_table() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == list(TABLES)
