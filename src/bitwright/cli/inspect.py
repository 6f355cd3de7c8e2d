"""`bitwright inspect`: what is in an artifact, and what the native engine makes of it. Imports no torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from bitwright.artifact import from_bytes, read
from bitwright.cli.output import byte_count, json_option, print_json, print_pairs, print_table, shape, usage_error
from bitwright.cli.preprocess_line import in_words
from bitwright.cli.signing_options import signature_in_words, signature_state, trust_option
from bitwright.records import LayerSummary, ModelSummary, PlanSummary, StepSummary
from bitwright.summary import model_summary, plan_summary

_SHOWN_CLASSES = 10
THREADS = click.IntRange(1, 1024)


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--plan", is_flag=True, help="Time the native engine's steps, and show them in place of the layers.")
@click.option("--threads", type=THREADS, help="Of the plan, at most; else all that this process may use.")
@trust_option
@json_option
def inspect(artifact: Path, plan: bool, threads: int | None, trust: tuple[Path, ...], as_json: bool) -> None:
    """Show an artifact's layers, schemes, bytes, preprocessing, classes, provenance and digest."""
    if threads is not None and not plan:
        raise usage_error("--threads needs --plan")
    data = read(artifact)
    opened = from_bytes(data, str(artifact))
    signature = signature_state(data, artifact, trust)
    summary = model_summary(opened, data)
    steps = plan_summary(opened, threads) if plan else None
    if as_json:
        planned = {} if steps is None else {"plan": steps.to_json()}
        print_json({"artifact": str(artifact), **summary.to_json(), "signature": signature, **planned})
        return
    if steps is None:
        _print_layers(summary)
    else:
        _print_plan(steps)
    click.echo()
    if steps is not None:
        print_pairs([("file", f"{artifact}, {byte_count(summary.bytes)}"), ("sha256", summary.sha256), *_notes(steps)])
        return
    print_pairs(
        [
            ("file", f"{artifact}, {byte_count(summary.bytes)}"),
            ("sha256", summary.sha256),
            ("signature", signature_in_words(signature)),
            ("classes", _classes(summary)),
            ("preprocess", in_words(opened.preprocess)),
            *_flat("preprocess", summary.preprocess),
            *_flat("provenance", summary.provenance),
        ]
    )


def _print_layers(summary: ModelSummary) -> None:
    columns = ("layer", "op", "shape", "weights", "codes", "MACs>", "bytes>")
    total = ("total", "", "", "", "", f"{summary.macs:,}", f"{summary.weight_bytes:,}")
    print_table(columns, [*map(_layer_row, summary.layers), total])


def _layer_row(layer: LayerSummary) -> tuple[object, ...]:
    counts = (f"{count:,}" if count else "" for count in (layer.macs, layer.weight_bytes))
    return (layer.name, layer.op, shape(layer.shape), layer.weights, layer.activations, *counts)


def _print_plan(plan: PlanSummary) -> None:
    columns = ("layer", "op", "kernel", "isa", "us>", "% of time>", "MACs>", "bytes>", "% of peak>")
    print_table(columns, map(_step_row, [*plan.steps, plan.total]))


def _notes(plan: PlanSummary) -> list[tuple[str, object]]:
    """What the figures of a plan mean where that is not plain."""
    winograd = any("Winograd" in step.kernel for step in plan.steps)
    more = "; Winograd's kernels multiply 16 times for 36 of them, so that their % may be above 100" if winograd else ""
    return [("MACs", f"of the layers as they are defined{more}"), ("peak", "int8 multiply-adds, as measured here")]


def _step_row(step: StepSummary) -> tuple[object, ...]:
    macs, peak = (f"{step.macs:,}", f"{step.percent_of_peak:.1f}") if step.macs else ("", "")
    times = (f"{step.time_us:.1f}", f"{step.percent_of_time:.1f}")
    return (step.name, step.op, step.kernel, step.isa, *times, macs, f"{step.bytes:,}", peak)


def _classes(summary: ModelSummary) -> str:
    names = summary.classes
    if names is None:
        return f"{summary.outputs}, without names"
    more = ", ..." if len(names) > _SHOWN_CLASSES else ""
    return f"{len(names)}: {', '.join(names[:_SHOWN_CLASSES])}{more}"


def _flat(name: str, value: Any) -> list[tuple[str, object]]:
    """Nested objects as pairs of dotted names and values."""
    if isinstance(value, Mapping):
        return [pair for key, item in value.items() for pair in _flat(f"{name}.{key}", item)]
    return [(name, value if isinstance(value, str) else json.dumps(value))]
