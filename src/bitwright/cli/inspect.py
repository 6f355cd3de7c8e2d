"""`bitwright inspect`: what is in an artifact, and what the native engine makes of it. Imports no torch."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from bitwright.artifact import Artifact, from_bytes, read
from bitwright.cli.output import byte_count, json_option, print_json, print_pairs, print_table, shape, usage_error
from bitwright.cli.preprocess_line import in_words
from bitwright.engine import Engine
from bitwright.graph import Node, Value
from bitwright.schemes import SCHEMES

_SHOWN_CLASSES = 10
THREADS = click.IntRange(1, 1024)


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--plan", is_flag=True, help="Time the native engine's steps, and show them in place of the layers.")
@click.option("--threads", type=THREADS, help="Of the plan, at most; else all that this process may use.")
@json_option
def inspect(artifact: Path, plan: bool, threads: int | None, as_json: bool) -> None:
    """Show an artifact's layers, schemes, bytes, preprocessing, classes, provenance and digest."""
    if threads is not None and not plan:
        raise usage_error("--threads needs --plan")
    data = read(artifact)
    opened = from_bytes(data, str(artifact))
    record = {"artifact": str(artifact), **describe(opened, data)}
    if plan:
        record["plan"] = plan_of(opened, threads)
    if as_json:
        print_json(record)
        return
    if plan:
        _print_plan(record["plan"])
    else:
        _print_layers(record)
    click.echo()
    print_pairs(
        [
            ("file", f"{artifact}, {byte_count(record['bytes'])}"),
            ("sha256", record["sha256"]),
            ("classes", _classes(record)),
            ("preprocess", in_words(opened.preprocess)),
            *_flat("preprocess", record["preprocess"]),
            *_flat("provenance", record["provenance"]),
        ]
    )


def describe(artifact: Artifact, data: bytes) -> dict[str, Any]:
    """All that the command shows, as plain data; `data` are the bytes of the file."""
    layers = [_layer(node, artifact.graph.values[node.name]) for node in artifact.graph.nodes]
    return {
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "macs": sum(layer["macs"] for layer in layers),
        "weight_bytes": sum(layer["weight_bytes"] for layer in layers),
        "layers": layers,
        "outputs": artifact.graph.values[artifact.graph.output].shape[0],
        "classes": artifact.classes,
        "preprocess": artifact.preprocess.to_json(),
        "provenance": dict(artifact.provenance),
    }


def plan_of(artifact: Artifact, threads: int | None) -> list[dict[str, Any]]:
    """The steps of the native engine's plan for one image, as plain data. EngineError where it was not built."""
    return [
        {
            "name": step.name,
            "op": step.op,
            "kernel": step.kernel,
            "isa": step.isa,
            "time_us": 1e6 * step.seconds,
            "percent_of_time": 100 * step.share,
            "macs": step.macs,
            "bytes": step.bytes,
            "percent_of_peak": step.percent_of_peak,
        }
        for step in Engine(artifact, backend="native", threads=threads).explain()
    ]


def _print_layers(record: Mapping[str, Any]) -> None:
    columns = ("layer", "op", "shape", "weights", "codes", "MACs>", "bytes>")
    total = ("total", "", "", "", "", f"{record['macs']:,}", f"{record['weight_bytes']:,}")
    print_table(columns, [*map(_row, record["layers"]), total])


def _print_plan(steps: Sequence[Mapping[str, Any]]) -> None:
    columns = ("layer", "op", "kernel", "isa", "us>", "% of time>", "MACs>", "bytes>", "% of peak>")
    total = {"name": "total", "op": "", "kernel": "", "isa": ""}
    sums = {key: sum(step[key] for step in steps) for key in ("time_us", "percent_of_time", "macs", "bytes")}
    peak = sum(step["percent_of_peak"] * step["percent_of_time"] / 100 for step in steps)
    print_table(columns, map(_plan_row, [*steps, {**total, **sums, "percent_of_peak": peak}]))


def _plan_row(step: Mapping[str, Any]) -> tuple[object, ...]:
    what = (step[key] for key in ("name", "op", "kernel", "isa"))
    macs = (f"{step['macs']:,}", f"{step['percent_of_peak']:.1f}") if step["macs"] else ("", "")
    return (*what, f"{step['time_us']:.1f}", f"{step['percent_of_time']:.1f}", macs[0], f"{step['bytes']:,}", macs[1])


def _layer(node: Node, value: Value) -> dict[str, Any]:
    weight, scheme = node.tensors.get("weight"), node.attrs.get("weights")
    return {
        "name": node.name,
        "op": node.op,
        "shape": list(value.shape),
        "weights": scheme,
        "activations": "float32" if value.type is None else value.type.scheme,
        "macs": 0 if weight is None else weight.size * value.places,
        "weight_bytes": 0 if weight is None or scheme is None else SCHEMES[scheme].packed_bytes(weight.size),
    }


def _row(layer: Mapping[str, Any]) -> tuple[object, ...]:
    counts = (f"{layer[key]:,}" if layer[key] else "" for key in ("macs", "weight_bytes"))
    return (layer["name"], layer["op"], shape(layer["shape"]), layer["weights"], layer["activations"], *counts)


def _classes(record: Mapping[str, Any]) -> str:
    names = record["classes"]
    if names is None:
        return f"{record['outputs']}, without names"
    more = ", ..." if len(names) > _SHOWN_CLASSES else ""
    return f"{len(names)}: {', '.join(names[:_SHOWN_CLASSES])}{more}"


def _flat(name: str, value: Any) -> list[tuple[str, object]]:
    """Nested objects as pairs of dotted names and values."""
    if isinstance(value, Mapping):
        return [pair for key, item in value.items() for pair in _flat(f"{name}.{key}", item)]
    return [(name, value if isinstance(value, str) else json.dumps(value))]
