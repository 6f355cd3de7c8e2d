"""What `bitwright audit` prints of an audit's record."""

from collections.abc import Iterator, Sequence

import click

from bitwright.audit.decision_records import Screen
from bitwright.audit.records import MOST_DB, Audit, Bounds, Finding, LayerAudit, Remedy
from bitwright.cli.bit_flip_tables import print_bit_flips
from bitwright.cli.decision_tables import print_decisions
from bitwright.cli.output import byte_count, percent, print_pairs, print_table
from bitwright.cli.robustness_tables import print_robustness

MADE = {"weights": "weights", "rounding": "rounding", "clipping": "clipping", "nothing": ""}
LAYER_COLUMNS = (
    "layer",
    "op",
    "weights",
    "codes",
    "dB>",
    "cosine>",
    "jump>",
    "enters here>",
    "made by",
    "beyond %>",
    "ends %>",
    "unused %>",
    "dead>",
    "data>",
    "codes cover>",
    "floats of weights>",
    "us>",
)
REMEDY_COLUMNS = ("remedy", "layer", "wins back>", "points>", "dB>", "bytes>", "us>")


def print_audit(audit: Audit) -> None:
    """Print every part that an audit has."""
    print_pairs(_summary(audit))
    if audit.findings or audit.layers:
        click.echo()
        _print_findings(audit.findings)
    if audit.remedies:
        click.echo()
        shown = [remedy for remedy in audit.remedies if remedy.helps or not remedy.is_recipe or not remedy.rule]
        if shown:
            print_table(REMEDY_COLUMNS, map(_remedy_row, shown))
        if (others := len(audit.remedies) - len(shown)) > 0:
            click.echo(f"({others} more tried, of no help: something became worse, or nothing better; --json has them)")
        if any(remedy.rule for remedy in audit.remedies):
            click.echo("(changes of the recipe are measured beside quantizing again without any)")
    if audit.layers:
        click.echo()
        print_table(LAYER_COLUMNS, map(_layer_row, audit.layers))
        click.echo()
        print_pairs(_legend(audit))
    if audit.decisions is not None:
        click.echo()
        print_decisions(audit.decisions)
    if audit.robustness is not None:
        click.echo()
        print_robustness(audit.robustness)
    if audit.screen is not None:
        click.echo()
        print_pairs(_screen(audit.screen))
    if audit.bit_flips is not None:
        click.echo()
        print_bit_flips(audit.bit_flips)


def _summary(audit: Audit) -> list[tuple[str, object]]:
    before = audit.before
    top1 = None if before.top1 is None else f"{percent(before.top1)}, float {percent(audit.float_top1)}"
    return [
        ("artifact", audit.artifact),
        ("model", audit.model),
        ("images", f"{audit.images:,} of {audit.data}"),
        ("top-1", top1),
        ("agreement", percent(before.agreement)),
        ("logits", f"SQNR {before.db:.1f} dB, KL {before.kl:.4f} nats"),
        ("size", f"{byte_count(before.bytes)}, without the record of how it was made"),
        ("time", None if before.microseconds is None else f"{before.microseconds:.0f} us an image"),
        ("audited in", f"{audit.seconds:.0f} s"),
    ]


def _print_findings(findings: Sequence[Finding]) -> None:
    faults = sum(finding.is_fault for finding in findings)
    if not faults:
        click.echo("nothing is wrong" + ("; most of the error enters here:" if findings else ""))
    for i, finding in enumerate(findings):
        if faults and i == faults:
            click.echo("most of the rest of the error enters here:")
        print_pairs([(f"{i + 1}.", ("fault: " if finding.is_fault else "") + finding.text), *_best(finding)])


def _best(finding: Finding) -> Iterator[tuple[str, object]]:
    helping = [remedy for remedy in finding.remedies if remedy.helps]
    for remedy in helping[:2]:
        yield "", f"remedy: {remedy.text}: {gain(remedy)}"
    if finding.remedies and not helping:
        yield "", f"no remedy: of {len(finding.remedies)} tried, none helps"


def gain(remedy: Remedy) -> str:
    """What a remedy does and costs, in one line."""
    what = "top-1" if remedy.after.top1 is not None else "agreement"
    parts = [
        None if remedy.won_back is None else f"wins back {remedy.won_back:.0f} %",
        f"{what} {remedy.gain_points:+.2f} points",
        f"SQNR {remedy.gain_db:+.1f} dB",
        f"{remedy.cost_bytes:+,} bytes",
        None if remedy.cost_microseconds is None else f"{remedy.cost_microseconds:+.0f} us",
    ]
    return ", ".join(part for part in parts if part is not None)


def _remedy_row(remedy: Remedy) -> tuple[object, ...]:
    return (
        remedy.text,
        remedy.layer,
        None if remedy.won_back is None else f"{remedy.won_back:.0f} %",
        f"{remedy.gain_points:+.2f}",
        f"{remedy.gain_db:+.1f}",
        f"{remedy.cost_bytes:+,}",
        None if remedy.cost_microseconds is None else f"{remedy.cost_microseconds:+.1f}",
    )


def _layer_row(layer: LayerAudit) -> tuple[object, ...]:
    part, left = layer.enters
    weight = layer.weight
    return (
        layer.name,
        layer.op,
        None if weight is None else weight.scheme,
        layer.scheme or "float32",
        _db(layer.db),
        f"{layer.cosine:.4f}",
        None if layer.jump_db is None else f"{layer.jump_db:.1f}",
        _db(left) if left < MOST_DB else None,
        MADE[part],
        _share(layer.saturated),
        _share(layer.at_ends),
        _share(layer.dead_codes),
        len(layer.dead_channels) or None,
        _ends(layer.data_range),
        _ends(layer.code_range) if layer.scheme else None,
        None if weight is None else _ends(weight.float_range),
        None if layer.microseconds is None else f"{layer.microseconds:.1f}",
    )


def _screen(found: Screen) -> list[tuple[str, object]]:
    off = found.off_nearest[0] if found.off_nearest else None
    patch = f"{found.patch}: {found.patch_rate:.0f} % of the images, float {found.patch_float_rate:.0f} %"
    return [
        ("only after rounding", ("suspicious: " if found.suspicious else "") + found.text),
        ("changes go to", None if found.to_class is None else f"{found.to_class}, p {found.to_class_p:.2g}"),
        ("changes come from", None if found.from_class is None else f"{found.from_class}, p {found.from_class_p:.2g}"),
        ("worst patch", None if found.patch is None else patch),
        ("off the nearest", None if off is None else f"{off.percent:.1f} % of {off.weights:,} weights of {off.layer}"),
    ]


def _legend(audit: Audit) -> list[tuple[str, object]]:
    return [
        (
            "dB",
            f"the SQNR of the value on {audit.layer_images} images, all before it included; jump: how much it falls here",
        ),
        ("enters here", "the SQNR that the greatest error made in this layer alone leaves, and what makes it"),
        ("beyond", "of the float model's numbers, those that the codes do not cover"),
        ("ends", "of the codes, those that are the greatest one; unused: those that never occur; dead: channels"),
    ]


def _db(value: float) -> str:
    return "exact" if value >= MOST_DB else f"{value:.1f}"


def _share(value: float) -> str | None:
    return f"{value:.2f}" if value else None


def _ends(ends: Bounds) -> str:
    return f"{ends[0]:.3g} .. {ends[1]:.3g}"
