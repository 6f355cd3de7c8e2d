"""`bitwright inspect`: what is in an artifact. Imports no torch."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from bitwright.artifact import Artifact, from_bytes
from bitwright.cli.output import byte_count, json_option, print_json, print_pairs, print_table, shape
from bitwright.graph import Node, Value
from bitwright.schemes import SCHEMES

_SHOWN_CLASSES = 10


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@json_option
def inspect(artifact: Path, as_json: bool) -> None:
    """Show an artifact's layers, schemes, bytes, preprocessing, classes, provenance and digest."""
    data = artifact.read_bytes()
    record = describe(from_bytes(data, str(artifact)), data)
    if as_json:
        print_json({"artifact": str(artifact), **record})
        return
    columns = ("layer", "op", "shape", "weights", "codes", "MACs>", "bytes>")
    total = ("total", "", "", "", "", f"{record['macs']:,}", f"{record['weight_bytes']:,}")
    print_table(columns, [*map(_row, record["layers"]), total])
    click.echo()
    print_pairs(
        [
            ("file", f"{artifact}, {byte_count(record['bytes'])}"),
            ("sha256", record["sha256"]),
            ("classes", _classes(record)),
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


def _layer(node: Node, value: Value) -> dict[str, Any]:
    weight, scheme = node.tensors.get("weight"), node.attrs.get("weights")
    return {
        "name": node.name,
        "op": node.op,
        "shape": list(value.shape),
        "weights": scheme,
        "activations": "float32" if value.type is None else value.type.scheme,
        "macs": 0 if weight is None else weight.size * math.prod(value.shape[1:]),
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
