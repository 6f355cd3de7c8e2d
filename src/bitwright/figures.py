"""Figures of records, as matplotlib's own `Figure`: to be shown in a notebook, changed, or saved. Needs the extra `plot`.

matplotlib is imported by whoever asks for a figure, and pyplot never: nothing global is opened, so nothing has to be closed.
"""

from typing import TYPE_CHECKING

from bitwright.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FLOAT, INTEGER, WARN, FAINT = "#66768a", "#0b7a75", "#945200", "#9aa5b1"
"""The colours of the float model, of the integers, of what is doubtful, and of lines to compare with: the report's, too."""


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1) -> "tuple[Figure, list[Axes]]":
    """An empty figure of so many inches, and its axes row by row. MissingExtraError where there is no matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "plot") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(rows * columns)]
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes
