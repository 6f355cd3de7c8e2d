"""What a file can hold, found out before hours of work and not behind them; and that what is saved is read back the same."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bitwright.artifact_file.limits import MAX_CLASSES, MAX_HEADER_BYTES, MAX_NODES, MAX_PART
from bitwright.artifact_file.parts import Parts, lone_surrogate
from bitwright.errors import ArtifactError
from bitwright.graph import Node

_ESCAPED = 6
"""The most bytes that JSON takes for a character of 16 bits."""
_OTHERS = 2**14
"""More bytes than a node takes for all but its texts."""


def expect_storable(
    *,
    nodes: Sequence[Node] = (),
    classes: Sequence[str] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Raise ArtifactError where no file could hold these layers, class names or this record of how a model was made."""
    if len(nodes) > MAX_NODES:
        raise ArtifactError(f"a file may have {MAX_NODES:,} nodes at most, found {len(nodes):,}")
    for node in nodes:
        texts = (node.name, node.origin, *node.inputs)
        if 2 * _ESCAPED * sum(map(len, texts)) + _OTHERS > MAX_PART:
            _expect_part("the names of a layer and of what it reads", texts, "give the model's layers shorter names")
    if classes is not None:
        _expect_classes(classes)
    if provenance is not None:
        _expect_provenance(provenance)


def _expect_classes(names: Sequence[str]) -> None:
    shorter = "give fewer or shorter names"
    if len(names) > MAX_CLASSES:
        raise ArtifactError(f"a file may have {MAX_CLASSES:,} class names at most, found {len(names):,}; {shorter}")
    for i, name in enumerate(names):
        if not isinstance(name, str):
            raise ArtifactError(f"class names must be text, found {name!r:.100} for class {i}")
    whole = "".join(names)
    if _ESCAPED * max(map(len, names), default=0) > _OTHERS or (not whole.isascii() and lone_surrogate(whole)):
        for i, name in enumerate(names):
            _expect_part(f"the name of class {i}", name, shorter)
    if _ESCAPED * len(whole) > MAX_HEADER_BYTES // 4:
        size = len(json.dumps(json.dumps(names)))
        if size > MAX_HEADER_BYTES:
            raise ArtifactError(f"the class names take {size:,} bytes, a file has {MAX_HEADER_BYTES:,}; {shorter}")


def _expect_provenance(provenance: Mapping[str, Any]) -> None:
    if not isinstance(provenance, Mapping):
        raise ArtifactError(f"the provenance must be an object, a dictionary, found {provenance!r:.100}")
    _expect_part("the provenance", {**provenance}, "say less in the recipe, or in what is given as provenance")


def _expect_part(what: str, value: Any, remedy: str) -> None:
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise ArtifactError(
            f"{what} cannot be written as JSON: {error}; expected plain data: text, finite numbers, lists, dictionaries"
        ) from error
    if len(text) >= MAX_PART:
        raise ArtifactError(
            f"{what} would take {len(text):,} bytes of a file, expected fewer than {MAX_PART:,}; {remedy}"
        )
    try:
        Parts(text.encode(), 0, len(text), depth=1).part()
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{what} could not be read back: {error}") from error


def expect_same(text: str, again: str, made: Iterable[Node], read: Iterable[Node]) -> None:
    """Raise ArtifactError where a file's document or tensors, read back, are not what was written."""
    if text != again:
        at = next((i for i, (a, b) in enumerate(zip(text, again, strict=False)) if a != b), min(len(text), len(again)))
        raise ArtifactError(
            f"it would be read back otherwise: expected {text[at : at + 60]}, found {again[at : at + 60]}"
        )
    for node, found in zip(made, read, strict=True):
        for key, tensor in node.tensors.items():
            if not np.array_equal(tensor, found.tensors[key]):
                raise ArtifactError(f"tensor {node.name:.100}/{key} would be read back otherwise")
