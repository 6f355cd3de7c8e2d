"""What `bitwright audit` prints of pictures that something happened to."""

import click

from bitwright.audit.decision_records import Robustness
from bitwright.cli.output import print_pairs, print_table

CORRUPTED = ("corruption", "setting", "images>", "float top-1>", "integer top-1>", "agreement>", "McNemar's p>")
ATTACKED = ("attack", "gradient of", "within>", "images>", "float right>", "integer right>")


def print_robustness(found: Robustness) -> None:
    """Corruptions, attacks, and how far these can be trusted."""
    rows = [
        (c.corruption, c.setting, c.images, _two(c.float_top1), _two(c.integer_top1), _two(c.agreement), _small(c.p))
        for c in found.corruptions
    ]
    if rows:
        print_table(CORRUPTED, rows)
        click.echo()
    attacks = [
        (a.attack, a.through, f"{a.epsilon:g}/255", a.images, _two(a.float_top1), _two(a.integer_top1))
        for a in found.attacks
    ]
    if attacks:
        print_table(ATTACKED, attacks)
    print_pairs([("note", found.remark)])


def _two(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"


def _small(value: float | None) -> str | None:
    return None if value is None else f"{value:.2g}"
