"""Figures of an audit: they are matplotlib's own, hold the record's numbers, and refuse what was not measured."""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitwright.audit.records import Audit
from bitwright.errors import AuditError, MissingExtraError
from tests.audit.sample import AUDIT, DECISIONS, LAYER

pytest.importorskip("matplotlib")
import matplotlib.figure

PLOTS: dict[str, Callable[[Audit], Any]] = {
    "layers": Audit.plot_layers,
    "codes": lambda audit: audit.plot_codes(LAYER.name),
    "reliability": Audit.plot_reliability,
    "classes": Audit.plot_classes,
    "robustness": Audit.plot_robustness,
}


@pytest.mark.parametrize("name", PLOTS)
def test_a_figure_is_matplotlibs_own_and_can_be_drawn(name: str) -> None:
    figure = PLOTS[name](AUDIT)
    assert type(figure) is matplotlib.figure.Figure
    figure.canvas.draw()


def test_layers_have_what_enters_there_and_all_the_error_so_far() -> None:
    axes: Any = AUDIT.plot_layers().axes[0]
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_ydata(), [layer.db for layer in AUDIT.layers])
    assert [bar.get_height() for bar in axes.patches] == [layer.enters[1] for layer in AUDIT.layers]
    assert [label.get_text() for label in axes.get_xticklabels()] == [layer.name for layer in AUDIT.layers]


def test_codes_are_shares_of_the_histograms() -> None:
    axes: list[Any] = AUDIT.plot_codes(LAYER.name).axes
    codes, weights = axes
    total = sum(LAYER.histogram)
    assert [bar.get_height() for bar in codes.patches] == pytest.approx([100 * n / total for n in LAYER.histogram])
    assert LAYER.weight is not None
    assert len(weights.patches) == len(LAYER.weight.histogram)
    assert weights.patches[0].get_x() == pytest.approx(-3 - 0.45)  # int3 begins at -3
    assert len(AUDIT.plot_codes("linear").axes) == 1


def test_reliability_is_that_of_the_bins_with_images() -> None:
    axes: list[Any] = AUDIT.plot_reliability().axes
    diagram, counts = axes
    lines = {line.get_label().partition(",")[0]: line for line in diagram.lines}
    found = {"float": DECISIONS.float_reliability, "integers": DECISIONS.integer_reliability}
    for name, each in found.items():
        assert each is not None
        assert lines[name].get_label() == f"{name}, off by {each.ece:.2f} points"
        points = [(b.confidence, b.accuracy) for b in each.bins if b.images]
        np.testing.assert_array_equal(lines[name].get_xydata(), points)
    assert [bar.get_height() for bar in counts.patches] == [40, 1960, 0, 2000]


def test_classes_have_exact_intervals() -> None:
    (axes,) = AUDIT.plot_classes().axes
    (container,) = axes.containers
    np.testing.assert_array_equal(container[0].get_xydata(), [(6.0, 0.0)])
    (bars,) = container[2]
    np.testing.assert_allclose(bars.get_segments()[0][:, 0], (3.1, 10.2))


def test_robustness_has_corruptions_and_attacks() -> None:
    (axes,) = AUDIT.plot_robustness().axes
    np.testing.assert_array_equal([line.get_xdata() for line in axes.lines], [(88.5, 31.5), (87.0, 29.0)])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["noise, sigma 4", "2/255 pgd, prepared"]


@pytest.mark.parametrize(
    ("name", "gone", "said"),
    [
        ("layers", {"layers": ()}, "expected an audit with the part 'layers', found none"),
        ("codes", {"layers": ()}, "expected an audit with the part 'layers', found none"),
        ("reliability", {"decisions": None}, "the part 'decisions'"),
        ("reliability", {"decisions": replace(DECISIONS, float_reliability=None)}, "images with labels, found none"),
        ("classes", {"decisions": replace(DECISIONS, classes=())}, "images with labels, found none"),
        ("robustness", {"robustness": None}, "the part 'robustness'"),
    ],
)
def test_what_was_not_measured_cannot_be_shown(name: str, gone: dict, said: str) -> None:
    with pytest.raises(AuditError, match=said):
        PLOTS[name](replace(AUDIT, **gone))


def test_a_layer_that_there_is_not_is_refused_with_the_nearest() -> None:
    with pytest.raises(AuditError, match=r"expected a layer of .*; found 'linea'; did you mean 'linear'\?"):
        AUDIT.plot_codes("linea")


def test_without_matplotlib_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'bitwright\[plot\]'"):
        AUDIT.plot_layers()
