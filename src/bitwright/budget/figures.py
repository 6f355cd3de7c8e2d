"""The figure of what a search found: its Pareto front; `Found.plot` makes it."""

from typing import TYPE_CHECKING

import numpy as np

from bitwright.figures import FAINT, FLOAT, INTEGER, WARN, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bitwright.budget.found import Found


def front_figure(found: "Found") -> "Figure":
    """The measured drop, with its interval, and the predicted loss of the choices on the front against their cost."""
    figure, (above, below) = new_figure(7.5, 6.5, 2, 1)
    below.sharex(above)
    in_bytes = found.minimize == "bytes"
    unit, label = (1e-3, "bytes of all weights, kB") if in_bytes else (1e6, "time of all layers with weights, µs")
    above.axhline(found.max_drop, color=WARN, linestyle="--", label=f"budget: {found.max_drop:g} points")
    seen: set[str] = set()
    for point in (found.uniform, *found.pareto_front):
        is_found = point.recipe == found.verified.recipe
        name, colour = ("found", INTEGER) if is_found else ("8 bits", FAINT) if point is found.uniform else ("", FLOAT)
        shown = name if name and name not in seen else "_"  # matplotlib's way to leave a line out of the legend
        seen.add(name)
        cost = unit * point.predicted_cost
        if point.verified is not None:
            drop, (lo, hi) = point.verified.drop.points, point.verified.drop.interval()
            error = np.array([[drop - lo], [hi - drop]])
            above.errorbar([cost], [drop], yerr=error, fmt="o", color=colour, capsize=3, label=shown)
        if point is not found.uniform and point.predicted_loss > 0:
            full = colour if point.verified is not None else "white"
            below.plot([cost], [point.predicted_loss], "o", color=colour, markerfacecolor=full)
    above.set(ylabel="drop, points, with 95 %", title=f"Widths for the least {found.minimize}")
    below.set(ylabel="predicted loss, nats", xlabel=label)
    if below.lines:
        below.set_yscale("log")
    above.legend(fontsize=8)
    return figure
