"""What `bitwright audit` prints of what became of a model's answers."""

from collections.abc import Sequence

import click

from bitwright.audit.decision_records import ClassDamage, DecisionAudit, Flip, Share
from bitwright.cli.output import print_pairs, print_table

CLASSES = 10
IMAGES = 8
"""The most rows of a table; the JSON has more."""
FLIP_COLUMNS = ("image", "label", "float", "sure %>", "integer", "sure %>", "KL>", "")
CLASS_COLUMNS = (
    "class",
    "images>",
    "float right>",
    "integer right>",
    "lost>",
    "gained>",
    "drop>",
    "share lost %>",
    "p>",
)


def print_decisions(found: DecisionAudit) -> None:
    """Print everything about an audit's decisions."""
    print_pairs(_summary(found))
    if found.classes:
        click.echo()
        print_table(CLASS_COLUMNS, map(_class_row, found.classes[:CLASSES]))
    if found.float_reliability is not None and found.integer_reliability is not None:
        click.echo()
        rows = zip(found.float_reliability.bins, found.integer_reliability.bins, strict=True)
        columns = ("confidence %", "images>", "float right %>", "images>", "integer right %>")
        print_table(
            columns,
            [(f"{a.lo:.0f} .. {a.hi:.0f}", a.images, _one(a.accuracy), b.images, _one(b.accuracy)) for a, b in rows],
        )
    for title, flips in (("changed, the surest first", found.flips), ("the most different answers", found.disagreeing)):
        if flips:
            click.echo(f"\n{title}:")
            print_table(FLIP_COLUMNS, map(_flip_row, flips[:IMAGES]))


def _summary(found: DecisionAudit) -> list[tuple[str, object]]:
    margin = found.margin
    drop = None
    if found.drop is not None and found.drop_interval is not None:
        drop = f"{found.drop:.2f} points{_within(found.drop_interval)}"
    ways = f"{found.lost} lost, {found.gained} gained, " if found.drop is not None else ""
    return [
        ("agreement", _share(found.agreement)),
        ("top-1, float", _share(found.float_top1)),
        ("top-1, integer", _share(found.integer_top1)),
        ("drop", drop),
        ("answers changed", f"{ways}{found.moved} moved from one class to another, of {found.images:,}"),
        ("McNemar's p", None if found.mcnemar_p is None else f"{found.mcnemar_p:.2g}"),
        ("calibration error", _calibration(found)),
        ("median margin", f"{margin.integer_median:.2f}, float {margin.float_median:.2f} logits"),
        ("margin's shift", f"{', '.join(f'{q:+.2f}' for q in margin.quantiles)} (at 5, 25, 50, 75, 95 %)"),
        ("margin halved", f"of {margin.eroded:.1f} % of the images, or worse"),
    ]


def _calibration(found: DecisionAudit) -> str | None:
    one, other = found.float_reliability, found.integer_reliability
    return None if one is None or other is None else f"{other.ece:.2f} points, float {one.ece:.2f}"


def _share(share: Share | None) -> str | None:
    return None if share is None else f"{share.percent:.2f} %{_within(share.interval)}"


def _within(interval: Sequence[float]) -> str:
    return f" ({interval[0]:.2f} to {interval[1]:.2f})"


def _one(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f}"


def _class_row(each: ClassDamage) -> tuple[object, ...]:
    lost = each.lost_share
    return (
        each.name,
        each.images,
        each.float_right,
        each.integer_right,
        each.lost,
        each.gained,
        f"{each.drop:.2f}",
        f"{lost.percent:.2f}{_within(lost.interval)}",
        f"{each.p:.2g}",
    )


def _flip_row(flip: Flip) -> tuple[object, ...]:
    return (
        flip.image,
        flip.label,
        flip.float_class,
        _one(flip.float_confidence),
        flip.integer_class,
        _one(flip.integer_confidence),
        f"{flip.divergence:.3f}",
        flip.kind,
    )
