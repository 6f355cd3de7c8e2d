"""From the bytes of a file to what they say."""

import gc
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bitwright.artifact_file.container import Container, Entry, read_container
from bitwright.artifact_file.graph_reading import DTYPES, GraphReader, fields
from bitwright.artifact_file.limits import MAX_CLASSES
from bitwright.artifact_file.parts import Parts
from bitwright.artifact_file.seal import checked_digest, without_digest
from bitwright.errors import AnotherKindError, ArtifactError, GraphError
from bitwright.foreign import what_it_is
from bitwright.graph import Graph
from bitwright.images.preprocess import Preprocess

_TO_QUANTIZE = "make one with: bitwright quantize MODEL --weights THIS_FILE --data SRC -o OUT"
FORMAT = 2
"""What is written. Format 1, which said nothing of channels, is read for ever: all its values have axis 0 as their channel."""


@contextmanager
def collector_paused() -> Iterator[None]:
    """Python's search for cycles of garbage waits: thousands of records hold none, and it would be a quarter of the time."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def stored(data: bytes, where: str) -> tuple[bytes, Container]:
    """The document of an artifact's bytes, and the tensors beside it; `where` names the bytes in errors."""
    try:
        found = read_container(data)
        text = found.metadata.get("bitwright")
        if text is None:
            raise AnotherKindError(f"{where}: {_weights(found.tensors)}, not a bitwright artifact; {_TO_QUANTIZE}")
        for name, entry in found.tensors.items():
            if entry.dtype not in DTYPES:
                raise ValueError(f"tensor {name!r:.100} has the dtype {entry.dtype}, expected one of {sorted(DTYPES)}")
    except (ValueError, RecursionError) as error:
        foreign = what_it_is(data, where)
        kind = ArtifactError if foreign is None else AnotherKindError
        raise kind(f"{where}: {foreign or f'not a safetensors file, or a damaged one ({error})'}") from error
    return text.encode(), found


def _weights(tensors: Mapping[str, Entry]) -> str:
    """What a safetensors file is that is no artifact: how many tensors, their numbers and types."""
    if not tensors:
        return "a safetensors file without tensors"
    numbers = sum(math.prod(entry.shape) for entry in tensors.values())
    name, first = next(iter(tensors.items()))
    dtypes = ", ".join(sorted({entry.dtype for entry in tensors.values()}))
    return (
        f"the weights of a model ({len(tensors):,} tensors with {numbers:,} numbers of {dtypes}, "
        f"such as {name!r:.100} {list(first.shape)})"
    )


def parsed(
    text: bytes, tensors: Container, data: bytes
) -> tuple[Graph, Preprocess, tuple[str, ...] | None, Mapping[str, Any]]:
    """What the document of a file's bytes says: the graph, the preprocessing, the class names and the provenance.

    ArtifactError, PreprocessError, ValueError or RecursionError where it is no such document.
    """
    parts = Parts(text, 0, len(text))
    graph = GraphReader(parts, tensors)
    try:
        found = fields(
            parts,
            "the document",
            {
                "format": lambda: _format(parts),
                "graph": graph.read,
                "preprocess": parts.part,
                "classes": lambda: _classes(parts),
                "provenance": lambda: _provenance(parts),
            },
        )
        parts.finish()
        if tensors.tensors:
            raise ArtifactError(f"tensors that no node uses: {sorted(tensors.tensors)[:5]}")
        if found["format"] > 1 and graph.lacks:
            raise ArtifactError(graph.lacks)
    except (GraphError, ArtifactError, ValueError, RecursionError):
        checked_digest(data)  # a damaged file is told before what the damage looks like
        raise
    provenance = without_digest(found["provenance"], data)
    return found["graph"], Preprocess.from_json(found["preprocess"]), found["classes"], provenance


def _format(parts: Parts) -> int:
    found = parts.part()
    if type(found) is not int or not 1 <= found <= FORMAT:
        raise ArtifactError(
            f"expected format 1 to {FORMAT}, found {found!r:.100}; upgrade bitwright to read newer files"
        )
    return found


def _classes(parts: Parts) -> tuple[str, ...] | None:
    if parts.next() == "n":
        parts.part()
        return None
    names = list[str]()
    if parts.next() != "[":
        raise ArtifactError("class names must be a list of strings")
    for _ in parts.items():
        if parts.next() != '"':
            raise ArtifactError("class names must be a list of strings")
        if len(names) == MAX_CLASSES:
            raise ArtifactError(f"expected at most {MAX_CLASSES:,} class names, found more")
        names.append(parts.part())
    return tuple(names)


def _provenance(parts: Parts) -> dict[str, Any]:
    if parts.next() != "{":
        raise ArtifactError("the provenance must be an object")
    found: dict[str, Any] = parts.part()
    return found
