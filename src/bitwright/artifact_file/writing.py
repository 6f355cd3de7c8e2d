"""From an integer model to the bytes of its file. The same contents give the same bytes."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from bitwright.artifact_file.limits import (
    MAX_CLASSES,
    MAX_HEADER_BYTES,
    MAX_INPUTS,
    MAX_NODES,
    MAX_PART,
    MAX_TENSORS,
)
from bitwright.artifact_file.parts import lone_surrogate
from bitwright.artifact_file.seal import BLANK, KEY, sealed
from bitwright.errors import ArtifactError
from bitwright.graph import LOGITS, Graph
from bitwright.images.preprocess import Preprocess
from bitwright.schemes import SCHEMES

FORMAT = 2
"""What is written. Format 1, which said nothing of channels, is read for ever: all its values have axis 0 as their channel."""


def written(
    graph: Graph, preprocess: Preprocess, classes: tuple[str, ...] | None, provenance: Mapping[str, Any]
) -> bytes:
    """The bytes of the file; ArtifactError where the provenance is nothing that JSON can hold, or all of it is too large."""
    tensors: dict[str, npt.NDArray[Any]] = {}
    nodes = []
    for node in graph.nodes:
        for key, tensor in node.tensors.items():
            packs = key == "weight"
            packed = SCHEMES[node.attrs["weights"]].pack(tensor) if packs else np.ascontiguousarray(tensor)
            tensors[f"{node.name}/{key}"] = packed
        nodes.append(
            {
                "name": node.name,
                "op": node.op,
                "inputs": node.inputs,
                "attrs": dict(node.attrs),
                "tensors": {key: tensor.shape for key, tensor in sorted(node.tensors.items())},
                "origin": node.origin,
            }
        )
    values = {
        name: {"shape": value.shape, "type": value.type and value.type.to_json(), "channel": value.channel}
        for name, value in graph.values.items()
    }
    name = {} if graph.output_name == LOGITS else {"output_name": graph.output_name}
    document = {
        "format": FORMAT,
        "graph": {"output": graph.output, **name, "others": dict(graph.others), "values": values, "nodes": nodes},
        "preprocess": preprocess.to_json(),
        "classes": classes,
        "provenance": {**{key: value for key, value in provenance.items() if key != KEY}, KEY: BLANK},
    }
    try:
        text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"the provenance cannot be written as JSON: {error}") from error
    if half := lone_surrogate(document):
        raise ArtifactError(f"it holds text with a lone surrogate, {half!r}")
    data = safetensors.numpy.save(tensors, {"bitwright": text})
    sizes = (
        ("bytes of its header", int.from_bytes(data[:8], "little"), MAX_HEADER_BYTES),
        ("tensors", len(tensors), MAX_TENSORS),
        ("nodes", len(nodes), MAX_NODES),
        ("inputs of nodes", sum(len(node.inputs) for node in graph.nodes), MAX_INPUTS),
        ("class names", len(classes or ()), MAX_CLASSES),
        ("bytes of its provenance", len(json.dumps(document["provenance"], separators=(",", ":"))), MAX_PART - 1),
    )
    for what, found, most in sizes:
        if found > most:
            raise ArtifactError(f"a file may have {most:,} {what} at most, found {found:,}")
    return sealed(data)
