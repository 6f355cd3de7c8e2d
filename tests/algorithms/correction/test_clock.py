"""Corrections keep to their time: with none left they leave what they begin with, and with less of it they take fewer steps."""

from collections.abc import Callable

import pytest
import torch

from bitwright.algorithms.correction import finetune_scales, reconstruct
from bitwright.algorithms.correction.clock import Span, parts
from bitwright.errors import CalibrationError
from bitwright.prepared import PreparedModel
from bitwright.quantization import calibrate, prepare
from bitwright.recipe import Recipe
from tests.algorithms.correction.test_reconstruct import IMAGES, PREPROCESS, Network

Tick = Callable[[float], None]


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Tick:
    """A clock that goes on by so many seconds each time it is read."""

    def set_to(seconds: float) -> None:
        times = (i * seconds for i in range(1 << 30))
        monkeypatch.setattr("bitwright.algorithms.correction.clock.time.monotonic", lambda: next(times))

    return set_to


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Steps of Adam that were taken so far, counted."""
    taken = [0]
    step = torch.optim.Adam.step

    def counted(self: torch.optim.Adam, *args: object) -> object:
        taken[0] += 1
        return step(self, *args)

    monkeypatch.setattr(torch.optim.Adam, "step", counted)
    return taken


def calibrated(*algorithms: str, minutes: float | None = None) -> PreparedModel:
    torch.manual_seed(0)
    recipe = Recipe(weights="int3", activations="uint4", algorithms=algorithms)
    prepared = prepare(Network().eval(), preprocess=PREPROCESS, recipe=recipe)
    calibrate(prepared, IMAGES, guard=False, minutes=minutes)
    return prepared


def codes(prepared: PreparedModel) -> list[torch.Tensor]:
    layers = [prepared.layer(node.name) for node in prepared.graph.nodes]
    return [layer.codes() for layer in layers if layer.quantizer is not None]


def test_a_span_without_end_is_no_limit() -> None:
    assert Span().part(0.5).progress(0.25) == 0.25
    assert Span().left == float("inf")


def test_work_is_as_far_as_the_clock_where_that_is_ahead(ticking: Tick) -> None:
    ticking(1)
    span = Span.of(10)  # from 0 on
    assert [span.progress(0.3) for _ in range(4)] == [0.3, 0.3, 0.3, 0.4]
    assert Span.of(0).progress(0) == 1


def test_pieces_get_shares_of_what_is_left_by_their_sizes(ticking: Tick) -> None:
    ticking(0)
    assert [parts(Span.of(60), [1, 2, 3], i).left for i in range(3)] == [10, 24, 60]


@pytest.mark.parametrize("name", ["reconstruct", "finetune_scales"])
def test_what_has_no_time_to_learn_leaves_what_it_begins_with(name: str, ticking: Tick, steps: list[int]) -> None:
    ticking(1000)
    found = calibrated(name, minutes=0.01)
    begun = calibrated(*(["adaround"] if name == "reconstruct" else []))
    assert all(map(torch.equal, codes(found), codes(begun)))
    assert steps == [0]


@pytest.mark.parametrize(
    ("name", "module", "minutes"), [("reconstruct", reconstruct, 0.05), ("finetune_scales", finetune_scales, 0.02)]
)
def test_less_time_is_fewer_steps(
    name: str, module: object, minutes: float, ticking: Tick, steps: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STEPS", 40)
    ticking(0.1)
    calibrated(name, minutes=minutes)
    few = steps[0]
    calibrated(name)
    assert 0 < few < (steps[0] - few) / 2


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf"), True, "2"])
def test_minutes_that_are_none_are_refused(minutes: object) -> None:
    with pytest.raises(CalibrationError, match="expected minutes above 0"):
        calibrated(minutes=minutes)  # type: ignore[arg-type]
