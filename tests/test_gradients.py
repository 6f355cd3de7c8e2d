"""What is called within `torch.no_grad` or `torch.inference_mode` makes what it makes outside."""

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytest.importorskip("scipy")

import bitwright as bw  # noqa: E402
from bitwright.errors import CaptureError  # noqa: E402
from bitwright.training import Options  # noqa: E402
from tests.test_ranks import PREPROCESS, network  # noqa: E402

HOW: dict[str, Any] = {"preprocess": PREPROCESS}
MILD: dict[str, Any] = {"max_drop": 90.0, "force": True, "calibrate": 64, **HOW}


def digits() -> Any:
    return bw.open_source("digits[:128]")


def by_hand(model: Any) -> bw.Artifact:
    prepared = bw.prepare(model, recipe="w4a4", **HOW)
    bw.calibrate(prepared, digits())
    return bw.convert(prepared)


def one_epoch(model: Any) -> bw.Artifact:
    return bw.train(model, digits(), recipe="w4a4", options=Options(epochs=1, batch=32, augment=()), **HOW)


CALLS: dict[str, Callable[[Any], Any]] = {
    "quantize": lambda model: bw.quantize(model, digits(), recipe="w4a4", **HOW),
    "prepare, calibrate, convert": by_hand,
    "prepare_qat": lambda model: bw.convert(bw.prepare_qat(model, images=digits(), **HOW)),
    "train": one_epoch,
    "search": lambda model: bw.search(model, digits(), bits=(4,), **MILD).artifact,
    "sensitivity": lambda model: bw.sensitivity(model, digits(), bits=(4,), latency=False, **HOW).to_json(),
    "quantize_within": lambda model: bw.quantize_within(model, digits(), **MILD).artifact,
}


def plain(found: Any) -> Any:
    """Logits of an artifact; else what was found."""
    if not isinstance(found, bw.Artifact):
        return found
    pixels = next(iter(digits().batches(PREPROCESS, 64))).images
    return bw.Engine(found, threads=1)(pixels).tobytes()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", CALLS)
def test_the_mode_that_it_is_called_in_changes_nothing(name: str, mode: Callable[[], Any]) -> None:
    model = network()
    expected = plain(CALLS[name](model))
    with mode():
        assert plain(CALLS[name](model)) == expected
        assert not torch.is_grad_enabled()


def test_a_model_made_within_inference_mode_is_told() -> None:
    with torch.inference_mode():
        model = network()
    with pytest.raises(CaptureError, match="make it outside"):
        bw.quantize(model, digits(), **HOW)
