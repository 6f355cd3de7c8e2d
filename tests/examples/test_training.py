"""examples/training: `prepare_qat` in Lightning and in Accelerate, in float32 and mixed precision: what it trains is saved."""

import runpy
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import bitwright as bw
from tests.conftest import REPOSITORY

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")
FOLDER = REPOSITORY / "examples" / "training"
pytestmark = pytest.mark.filterwarnings("ignore")  # those of others' packages


def trained(example: str, precision: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> bw.Artifact:
    """What an example leaves behind."""
    monkeypatch.syspath_prepend(str(FOLDER))
    names: dict[str, Any] = runpy.run_path(str(FOLDER / f"{example}.py"))
    made, prepare_qat = [], bw.prepare_qat

    def noted(*arguments: Any, **options: Any) -> Any:
        made.append(prepare_qat(*arguments, **options))
        return made[0]

    monkeypatch.setattr(bw, "prepare_qat", noted)
    artifact: bw.Artifact = names["main"](str(path), precision)
    assert path.read_bytes() == artifact.data
    pixels = next(iter(bw.open_source("digits[::5]").batches(artifact.preprocess, 64))).images
    (model,) = made
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    logits = model.eval().forward_pixels(torch.from_numpy(pixels)).numpy()
    np.testing.assert_array_equal(bw.Engine(artifact)(pixels), logits)
    return artifact


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_lightning(precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torchvision: ModuleType) -> None:
    pytest.importorskip("lightning", reason="needs lightning, which imports torchvision")
    artifact = trained("with_lightning", precision, tmp_path / "m", monkeypatch)
    top1 = bw.evaluate(artifact, "digits[::5]").top1
    assert top1 is not None
    assert top1 > 90


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_accelerate(precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = pytest.importorskip("accelerate.state")
    state.AcceleratorState._reset_state(reset_partial_state=True)
    artifact = trained("with_accelerate", precision, tmp_path / "m", monkeypatch)
    top1 = bw.evaluate(artifact, "digits[::5]").top1
    assert top1 is not None
    assert top1 > 90
