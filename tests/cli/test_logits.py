"""Models of several outputs on the command line: --logits says which one the logits are."""

from pathlib import Path

import pytest

from bitwright.artifact import load
from bitwright.engine import Engine
from tests.cli.conftest import Run

HEADS = ("colours:heads", "--data", "images")


def test_an_output_by_name_and_another_to_keep(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "heads.bw.safetensors"
    result = run("quantize", *HEADS, "--logits", "colour, features", "--test", "images", "-o", out)
    assert result.code == 0, result.err
    assert "top-1          100.00 %, float 100.00 %" in result.out
    artifact = load(out)
    assert (artifact.outputs, set(artifact.graph.others)) == (3, {"features"})
    found = Engine(artifact).outputs("images/red/0.png")
    assert {name: value.shape for name, value in found.items()} == {"colour": (1, 3), "features": (1, 3)}
    measured = run("evaluate", *HEADS, "--logits", "colour")
    assert measured.code == 0, measured.err
    assert "100.00 %" in measured.out


@pytest.mark.parametrize("command", ["quantize", "evaluate"])
def test_names_that_there_are_are_listed(run: Run, tmp_path: Path, command: str) -> None:
    to = ("-o", tmp_path / "x.bw.safetensors") if command == "quantize" else ()
    result = run(command, *HEADS, "--logits", "colours", *to)
    assert result.code == 2
    assert "the model has no output colours; it has colour, other, features" in result.err
    result = run(command, *HEADS, *to)
    assert result.code == 2
    assert "(--logits) which" in result.err
    assert "colour, other, features" in result.err
    assert not list(tmp_path.iterdir())


def test_an_artifact_has_its_outputs(run: Run) -> None:
    result = run("evaluate", "m.bw.safetensors", "--data", "images", "--logits", "colour")
    assert result.code == 2
    assert "an artifact holds its weights, outputs and preprocessing" in result.err
