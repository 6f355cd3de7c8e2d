"""`picture`: the Pareto front of a search as an SVG, drawn by hand: it needs no library, and any browser shows it.

Above, the drop of the choices that were verified, with the interval that holds the true one, and the budget; below, the
predicted loss of all choices.
"""

import math
from collections.abc import Callable, Iterable
from html import escape
from typing import NamedTuple

from bitwright.budget.found import Found, Point

WIDTH, LEFT, RIGHT = 760, 78, 24
UPPER, LOWER, HEIGHT = (64, 300), (350, 560), 620
INK, FAINT, OURS, OTHERS, BUDGET = "#1f2933", "#d9dee4", "#0b7a75", "#7b8794", "#c2410c"
Scale = Callable[[float], float]


class Axis(NamedTuple):
    """An axis: where values lie, its ticks, and how they are written."""

    at: Scale
    ticks: list[float]
    text: Callable[[float], str]


def picture(found: Found, float_bytes: int) -> str:
    """Draw what a search found; returns the text of an SVG."""
    points = [found.uniform, *found.pareto_front]
    in_bytes = found.minimize == "bytes"
    unit = 100 / float_bytes if in_bytes else 1e6
    label = "bytes of all weights, in % of the float model" if in_bytes else "time of all layers with weights, in us"
    costs = [unit * point.predicted_cost for point in points]
    x = _linear(min(costs), max(costs), LEFT, WIDTH - RIGHT)
    verified = [point for point in points if point.verified is not None]
    ends = [end for point in verified if point.verified for end in point.verified.drop.interval()]
    y = _linear(min(*ends, 0.0), max(*ends, found.max_drop), UPPER[1], UPPER[0])
    losses = [point.predicted_loss for point in found.pareto_front if point.predicted_loss > 0] or [1.0]
    z = _logarithmic(min(losses), max(losses), LOWER[1], LOWER[0])
    chosen = found.verified.recipe
    body = [
        _text(
            LEFT, 26, f"{found.minimize} against accuracy, at most {found.max_drop:g} points lost", 17, weight="bold"
        ),
        _text(LEFT, 48, f"found: {found.verified}", 12),
        *_grid(x, y, UPPER, "drop, points"),
        *_grid(x, z, LOWER, "predicted loss, nats"),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, label, 12, anchor="middle"),
        _line(LEFT, y.at(found.max_drop), WIDTH - RIGHT, y.at(found.max_drop), BUDGET, dashes="6 4"),
        _text(WIDTH - RIGHT, y.at(found.max_drop) - 6, "budget", 12, anchor="end", colour=BUDGET),
        _text(x.at(costs[0]) - 8, y.at(_drop(found.uniform)) - 8, "8 bits", 12, anchor="end"),
    ]
    for point, cost in zip(points, costs, strict=True):
        if point.verified is not None:
            body += _verified(point, x.at(cost), y, point.recipe == chosen)
        if point is not found.uniform:
            body.append(_dot(x.at(cost), z.at(max(point.predicted_loss, min(losses))), point, chosen))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    return "\n".join(
        [
            f'{head} font-family="sans-serif">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            *body,
            "</svg>\n",
        ]
    )


def _verified(point: Point, x: float, y: Axis, chosen: bool) -> Iterable[str]:
    assert point.verified is not None
    lo, hi = point.verified.drop.interval()
    colour = OURS if chosen else OTHERS
    yield _line(x, y.at(lo), x, y.at(hi), colour, width=1.5)
    yield from (_line(x - 4, y.at(end), x + 4, y.at(end), colour, width=1.5) for end in (lo, hi))
    yield f'<circle cx="{x:.1f}" cy="{y.at(_drop(point)):.1f}" r="{6 if chosen else 4}" fill="{colour}"/>'
    if chosen:
        yield _text(x, y.at(lo) + 15, "found", 12, anchor="middle", colour=OURS)


def _dot(x: float, y: float, point: Point, chosen: object) -> str:
    colour = OURS if point.recipe == chosen else OTHERS
    fill = colour if point.verified is not None else "white"
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{6 if point.recipe == chosen else 4}" fill="{fill}" stroke="{colour}"/>'
    )


def _drop(point: Point) -> float:
    assert point.verified is not None
    return point.verified.drop.points


def _grid(x: Axis, y: Axis, panel: tuple[int, int], label: str) -> Iterable[str]:
    for tick in x.ticks:
        yield _line(x.at(tick), panel[0], x.at(tick), panel[1], FAINT)
        yield _text(x.at(tick), panel[1] + 17, x.text(tick), 11, anchor="middle")
    for tick in y.ticks:
        yield _line(LEFT, y.at(tick), WIDTH - RIGHT, y.at(tick), FAINT)
        yield _text(LEFT - 8, y.at(tick) + 4, y.text(tick), 11, anchor="end")
    middle = sum(panel) / 2
    yield (
        f'<text x="18" y="{middle}" font-size="12" fill="{INK}" text-anchor="middle" '
        f'transform="rotate(-90 18 {middle})">{escape(label)}</text>'
    )


def _linear(lo: float, hi: float, start: float, end: float) -> Axis:
    span = (hi - lo) or abs(hi) or 1.0
    lo, hi = lo - 0.05 * span, hi + 0.05 * span
    step = 10 ** math.floor(math.log10(hi - lo))
    step = next(step * part for part in (0.1, 0.2, 0.5, 1, 2) if (hi - lo) / (step * part) <= 8)
    ticks = [step * i for i in range(math.ceil(lo / step), math.floor(hi / step) + 1)]
    digits = max(0, -math.floor(math.log10(step)))
    return Axis(lambda v: start + (v - lo) / (hi - lo) * (end - start), ticks, lambda v: f"{v:,.{digits}f}")


def _logarithmic(lo: float, hi: float, start: float, end: float) -> Axis:
    low, high = math.floor(math.log10(lo)), math.ceil(math.log10(hi) + 1e-9)
    ticks = [10.0**power for power in range(low, high + 1)]
    return Axis(lambda v: start + (math.log10(v) - low) / (high - low) * (end - start), ticks, lambda v: f"{v:g}")


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dashes: str = "", width: float = 1) -> str:
    style = f' stroke-dasharray="{dashes}"' if dashes else ""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"{style}/>'


def _text(
    x: float, y: float, text: str, size: int, anchor: str = "start", weight: str = "normal", colour: str = INK
) -> str:
    style = f'font-size="{size}" fill="{colour}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'
