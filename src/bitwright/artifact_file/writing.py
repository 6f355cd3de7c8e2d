"""From an integer model to the bytes of its file. The same contents give the same bytes."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from bitwright.artifact_file.seal import BLANK, KEY, sealed
from bitwright.errors import ArtifactError
from bitwright.graph import LOGITS, Graph
from bitwright.images.preprocess import Preprocess
from bitwright.schemes import SCHEMES

FORMAT = 2
"""What is written. Format 1, which said nothing of channels, is read for ever: all its values have axis 0 as their channel."""
MAX_NODES = 100_000
MAX_ELEMENTS = 2**28
"""No value may have more elements per image than this, so that a small file cannot claim all memory."""


def written(
    graph: Graph, preprocess: Preprocess, classes: tuple[str, ...] | None, provenance: Mapping[str, Any]
) -> bytes:
    """The bytes of the file; ArtifactError where the provenance is nothing that JSON can hold."""
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
    expect_text(document, text)
    return sealed(safetensors.numpy.save(tensors, {"bitwright": text}))


def expect_text(document: Any, text: str) -> None:
    """JSON can escape half of a surrogate pair, which is no text: it cannot be printed, nor be handed to C++."""
    if "\\u" in text:
        try:
            json.dumps(document, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ArtifactError(f"it holds text with a lone surrogate, {error.object[error.start]!r}") from error
