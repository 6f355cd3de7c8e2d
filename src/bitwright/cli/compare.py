"""`bitwright compare`: two artifacts side by side. Imports no torch."""

from pathlib import Path

import click

from bitwright.artifact import load
from bitwright.cli.compare_onnx import compare_onnx
from bitwright.cli.inspect import THREADS
from bitwright.cli.label_options import Naming, label_options, limit_option
from bitwright.cli.output import (
    json_option,
    print_json,
    print_pairs,
    print_table,
    report,
    report_remarks,
    shown,
    usage_error,
)
from bitwright.cli.preprocess_line import tell
from bitwright.comparison import Answers, Comparison, LayerChange
from bitwright.comparison import compare as compared
from bitwright.images.sources import open_source

Row = tuple[object, ...]


@click.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option("--data", metavar="SRC", help="Images to run both on, with their labels if there are any.")
@limit_option
@click.option("--threads", type=THREADS, help="Of the engines; else all that this process may use.")
@click.option("--no-timing", is_flag=True, help="Do not measure latency.")
@click.option(
    "--peer",
    type=click.Choice(("onnxruntime", "openvino")),
    default="onnxruntime",
    show_default=True,
    help="What runs SECOND where it is a .onnx file.",
)
@click.option(
    "--saturating",
    is_flag=True,
    help="Compute, too, what processors without VNNI make of FIRST, whose kernels saturate; seconds an image.",
)
@label_options
@json_option
def compare(
    first: Path,
    second: Path,
    data: str | None,
    limit: int | None,
    threads: int | None,
    no_timing: bool,
    peer: str,
    saturating: bool,
    naming: Naming,
    as_json: bool,
) -> int:
    """Compare two artifacts: bytes, the layers whose schemes differ, and latency, measured in turns in one run.

    With --data also accuracy, agreement, and McNemar's test of whether one is better. Every ratio and every drop is SECOND's to
    FIRST's. SECOND may be a .onnx file, such as bitwright export writes: how many labels change in ONNX Runtime, or in
    OpenVINO, and where the codes part.
    """
    if second.suffix.lower() == ".onnx":
        if data is None:
            raise usage_error("give images with --data, to run both on")
        how = {"peer": peer, "saturating": saturating, "limit": limit, "threads": threads}
        return compare_onnx(first, second, data, as_json, **how)
    if peer != "onnxruntime" or saturating:
        raise usage_error("--peer and --saturating are for a .onnx file as SECOND")
    if data is None and (limit is not None or naming.given is not None or naming.by != "name"):
        raise usage_error("--limit, --classes and --labels are for images; give them with --data")
    source = None if data is None else open_source(data)
    models = load(first), load(second)
    if source is not None:
        for model, which in zip(models, ("first", "second"), strict=True):
            tell(model, f" of the {which} model")
    with shown() as progress:
        found = compared(
            *models,
            source,
            classes=naming.given,
            labels=naming.by,
            limit=limit,
            threads=threads,
            timed=not no_timing,
            progress=progress,
        )
    if found.answers is not None:
        report_remarks(found.answers.bad, found.answers.remark, found.answers.doubt)
    for path, latency in zip((first, second), found.latencies or (), strict=False):
        if (remark := latency.remark(str(path))) is not None:
            report(f"warning: {remark}")
    if as_json:
        print_json({"artifacts": [str(first), str(second)], "data": data, **found.to_json()})
    else:
        _print(found, first, second)
    return int(found.answers is not None and found.answers.doubt is not None)


def _print(found: Comparison, first: Path, second: Path) -> None:
    rows: list[Row] = [
        ("bytes", *_counts(found.first.bytes, found.second.bytes)),
        ("bytes of weights", *_counts(found.first.weight_bytes, found.second.weight_bytes)),
        ("multiply-adds", *_counts(found.first.macs, found.second.macs)),
    ]
    if found.latencies is not None:
        before, after = found.latencies
        beside = f"{after.ratio:.3f} times, 95 %: {_span(after.ratio_interval, 3)}"
        if before.is_disturbed or after.is_disturbed:
            beside = "disturbed: no ratio"
        elif found.is_same:
            beside = "the same model, timed once"
        rows.append(("latency, ms", f"{before.median_ms:.3f}", f"{after.median_ms:.3f}", beside))
    if found.answers is not None:
        rows += _of_answers(found.answers)
    print_table(("", f"{first}>", f"{second}>", "second to first"), rows)
    click.echo()
    if found.changes:
        print_table(("layer", str(first), str(second)), map(_change, found.changes))
        click.echo()
    count, changes, renamed = len(found.first.layers), len(found.changes), len(found.renamed)
    print_pairs(
        [
            ("timed on", _engines(found)),
            ("layers", f"{count}, schemes of {changes} differ" if changes else f"{count}, of the same schemes"),
            ("names", f"{renamed} differ; these were matched by their order, op and shape" if renamed else None),
            ("models", "the same, but for the record of how they were made" if found.is_same else None),
        ]
    )


def _engines(found: Comparison) -> str | None:
    if found.threads is None:
        return None
    return f"{found.threads} {'thread' if found.threads == 1 else 'threads'}, {found.isa}; an image a call, in turns"


def _change(change: LayerChange) -> Row:
    name = change.name if change.second_name is None else f"{change.name} = {change.second_name}"
    return name, change.first or "-", change.second or "-"


def _of_answers(answers: Answers) -> list[Row]:
    drop = answers.drop
    agreement = f"{answers.agreement:.2f} % of {drop.images:,} images, 95 %: {_span(answers.agreement_interval)}"
    rows: list[Row] = [("agreement", "", "", agreement)]
    if answers.first_top1 is not None and answers.second_top1 is not None:
        lo, hi = answers.drop_interval
        gain = round(-drop.points, 2) + 0.0  # no -0.00
        change = f"{gain:+.2f} points, 95 %: {_span((0.0 - hi, 0.0 - lo))}"
        rows = [
            ("top-1, %", f"{answers.first_top1:.2f}", f"{answers.second_top1:.2f}", change),
            ("right alone", f"{drop.lost:,}", f"{drop.gained:,}", f"McNemar's p = {answers.p:.3g}"),
            *rows,
        ]
    return rows


def _counts(first: int, second: int) -> tuple[str, str, str]:
    return f"{first:,}", f"{second:,}", f"{100 * second / first:.2f} %" if first else ""


def _span(interval: tuple[float, float], digits: int = 2) -> str:
    return f"{interval[0]:.{digits}f} to {interval[1]:.{digits}f}"
