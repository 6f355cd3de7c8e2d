"""The figure of a search: the drops that were measured, the losses that were predicted, the budget."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitwright.budget.found import Found
from tests.report.files import found_of

pytest.importorskip("matplotlib")
import matplotlib.figure
import matplotlib.text


def points(lines: Any) -> list[list[float]]:
    """The first point of each line."""
    return [np.asarray(line.get_xydata())[0].tolist() for line in lines]


def test_the_front_is_matplotlibs_own_and_has_every_point() -> None:
    found: Found = found_of(artifact=None)  # type: ignore[arg-type]  # nothing of it is drawn
    figure = found.plot()
    assert type(figure) is matplotlib.figure.Figure
    above, below = figure.axes
    bars: list[Any] = [*above.containers]
    verified = [(point, point.verified) for point in (found.uniform, *found.pareto_front) if point.verified is not None]
    assert points(bar[0] for bar in bars) == [[p.predicted_cost / 1e3, v.drop.points] for p, v in verified]
    ends = [bar[2][0].get_segments()[0][:, 1] for bar in bars]
    np.testing.assert_allclose(ends, [v.drop.interval() for _, v in verified])
    assert points(below.lines) == [[p.predicted_cost / 1e3, p.predicted_loss] for p in found.pareto_front]
    assert [y for line in above.lines if line.get_linestyle() == "--" for _, y in points([line])] == [found.max_drop]
    labels = [text.get_text() for text in figure.findobj(matplotlib.text.Text)]
    assert {"budget: 0.5 points", "8 bits", "found"} <= {*labels}


def test_it_can_be_saved(tmp_path: Path) -> None:
    found_of(artifact=None).plot().savefig(tmp_path / "front.png")  # type: ignore[arg-type]
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
