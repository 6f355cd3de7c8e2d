"""From an integer model to the bytes of its file. The same contents give the same bytes."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from bitwright.artifact_file.limits import MAX_HEADER_BYTES, MAX_INPUTS, MAX_TENSORS
from bitwright.artifact_file.reading import FORMAT, parsed, stored
from bitwright.artifact_file.seal import BLANK, KEY, sealed
from bitwright.artifact_file.storable import expect_same
from bitwright.errors import ArtifactError, GraphError, PreprocessError
from bitwright.graph import LOGITS, Graph
from bitwright.images.preprocess import Preprocess
from bitwright.schemes import SCHEMES


def written(
    graph: Graph, preprocess: Preprocess, classes: tuple[str, ...] | None, provenance: Mapping[str, Any]
) -> bytes:
    """The bytes of the file, which were read back; ArtifactError where they are too many, or would say something else."""
    text = _document(graph, preprocess, classes, provenance)
    tensors = _tensors(graph)
    data = safetensors.numpy.save(tensors, {"bitwright": text})
    sizes = (
        ("bytes of its header", int.from_bytes(data[:8], "little"), MAX_HEADER_BYTES),
        ("tensors", len(tensors), MAX_TENSORS),
        ("inputs of nodes", sum(len(node.inputs) for node in graph.nodes), MAX_INPUTS),
    )
    for what, found, most in sizes:
        if found > most:
            raise ArtifactError(f"a file may have {most:,} {what} at most, found {found:,}")
    data = sealed(data)
    try:
        read = parsed(*stored(data, "what was written"), data)
    except (ArtifactError, GraphError, PreprocessError, ValueError, RecursionError) as error:
        raise ArtifactError(f"it could not be read back: {error}") from error
    expect_same(text, _document(*read), graph.nodes, read[0].nodes)
    return data


def _tensors(graph: Graph) -> dict[str, npt.NDArray[Any]]:
    tensors: dict[str, npt.NDArray[Any]] = {}
    for node in graph.nodes:
        for key, tensor in node.tensors.items():
            packs = key == "weight"
            packed = SCHEMES[node.attrs["weights"]].pack(tensor) if packs else np.ascontiguousarray(tensor)
            tensors[f"{node.name}/{key}"] = packed
    return tensors


def _document(
    graph: Graph, preprocess: Preprocess, classes: tuple[str, ...] | None, provenance: Mapping[str, Any]
) -> str:
    nodes = [
        {
            "name": node.name,
            "op": node.op,
            "inputs": node.inputs,
            "attrs": dict(node.attrs),
            "tensors": {key: tensor.shape for key, tensor in sorted(node.tensors.items())},
            "origin": node.origin,
        }
        for node in graph.nodes
    ]
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
        return json.dumps(document, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise ArtifactError(f"it cannot be written as JSON: {error}") from error
