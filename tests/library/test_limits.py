"""Files that are too large somewhere are refused by both readers alike, and at little cost; a little smaller they are read."""

import json
import tracemalloc
from functools import cache
from typing import Any

import pytest

from bench.hostile_headers import headers, with_length
from bitwright.artifact import from_bytes
from bitwright.artifact_file.limits import (
    MAX_CLASSES,
    MAX_HEADER_BYTES,
    MAX_INPUTS,
    MAX_NODES,
    MAX_PART,
    MAX_TENSORS,
    SMALL_HEADER_BYTES,
)
from bitwright.errors import ArtifactError
from tests.artifact.sample import BODY, DOCUMENT, HEADER, make
from tests.library.library import Library


@pytest.fixture(scope="module")
def library() -> Library:
    return Library()


@cache
def hostile() -> dict[str, str]:
    return dict(headers(200_000))


def both(library: Library, data: bytes) -> bool:
    """Whether both readers take it."""
    try:
        from_bytes(data)
        read = True
    except ArtifactError:
        read = False
    try:
        library.open(data).__exit__(None, None, None)
    except ValueError as error:
        assert not read, error
    else:
        assert read
    return read


def artifact(header: dict[str, Any] | None = None, **changes: Any) -> bytes:
    """The small one of tests/artifact/sample with parts of its document, or of its header, replaced."""
    text = json.dumps({**DOCUMENT, **changes})
    whole = {**HEADER, "__metadata__": {"bitwright": text}, **(header or {})}
    return with_length(json.dumps(whole, ensure_ascii=False).encode()) + BODY


@pytest.mark.parametrize("kind", dict(headers(500)))
def test_hostile_headers_are_refused_and_take_little(library: Library, kind: str) -> None:
    data = with_length(hostile()[kind].encode())
    with pytest.raises(ValueError, match=r"\w"):
        library.open(data)
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactError):
            from_bytes(data)
        assert tracemalloc.get_traced_memory()[1] < 4 * len(data) + 2**24
    finally:
        tracemalloc.stop()


def test_a_part_has_fewer_bytes_than_most(library: Library) -> None:
    """As the document spells it: {"a":"xx..."} has 8 bytes besides."""
    for more, read in ((-1, True), (0, False)):
        text = json.dumps({**DOCUMENT, "provenance": "@"}).replace('"@"', f'{{"a":"{"x" * (MAX_PART - 8 + more)}"}}')
        whole = json.dumps({**HEADER, "__metadata__": {"bitwright": text}})
        assert both(library, with_length(whole.encode()) + BODY) == read
        assert (
            both(
                library,
                artifact({"__metadata__": {"bitwright": json.dumps(DOCUMENT), "a": "é" + "x" * (MAX_PART - 4 + more)}}),
            )
            == read
        )


def test_the_header_has_a_limit(library: Library) -> None:
    data = artifact()
    size = int.from_bytes(data[:8], "little")
    for more, read in ((0, True), (1, False)):
        padded = data[8 : 8 + size] + b" " * (MAX_HEADER_BYTES - size + more)
        assert both(library, with_length(padded) + BODY) == read


def test_a_long_header_escapes_nothing_beyond_ascii_by_its_number(library: Library) -> None:
    """A short one may, and a long one may hold what looks like it, the document's own escapes, and escapes of ASCII."""
    for text, long, read in (
        *(("\\u00e9", False, True), ("\\u00e9", True, False), ("\\\\u00e9", True, True)),
        *(("\\u0041", True, True), ("\\u0080", True, False), ("\\u0100", True, False), ("\\uD83D\\uDE00", True, False)),
    ):
        filled = " " * (2 * SMALL_HEADER_BYTES if long else 1)
        metadata = json.dumps({"bitwright": json.dumps(DOCUMENT), "a": "@"}).replace("@", text)
        header = json.dumps({**HEADER, "__metadata__": "@"}).replace('"@"', metadata + filled)
        assert both(library, with_length(header.encode()) + BODY) == read


def test_metadata_of_others_is_passed_over(library: Library) -> None:
    """Any number of texts, each read for itself: 'one more' is not read again for each of them."""
    mine = {"bitwright": json.dumps(DOCUMENT), "\u00e9": '\u00e9\\"', "empty": "", "path": 'a\\b"c\nd'}
    assert both(library, artifact({"__metadata__": {**mine, **{f"{i}": "" for i in range(5_000)}}}))
    assert not both(library, with_length(b'{"__metadata__":{"a":"b') + BODY)


def test_nodes_in_front_of_the_values_are_as_many_and_objects(library: Library) -> None:
    graph = DOCUMENT["graph"]
    first = {"nodes": graph["nodes"], **graph}
    assert both(library, artifact(graph=first))
    wrong: tuple[list[Any], ...] = ([1, *graph["nodes"]], [{}] * (MAX_NODES + 1))
    for nodes in wrong:
        assert not both(library, artifact(graph={**first, "nodes": nodes}))
        with pytest.raises(ArtifactError, match="nodes, each an object"):
            from_bytes(artifact(graph={**first, "nodes": nodes}))


def test_numbers_of_things_have_limits(library: Library) -> None:
    empty = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
    graph = DOCUMENT["graph"]
    node = {**graph["nodes"][0], "inputs": ["input"] * 20_000}
    for data, said in (
        (artifact({f"{i}": empty for i in range(MAX_TENSORS)}), "tensors"),
        (artifact(classes=["a"] * (MAX_CLASSES + 1)), "class names"),
        (
            artifact(graph={**graph, "values": {f"{i}": graph["values"]["act"] for i in range(MAX_NODES + 2)}}),
            "more|found",
        ),
    ):
        with pytest.raises(ArtifactError, match=said):
            from_bytes(data)
        with pytest.raises(ValueError, match=said):
            library.open(data)
    names = [f"n{i}" for i in range(MAX_INPUTS // 20_000 + 1)]
    nodes = [{**node, "name": name, "op": "concat", "attrs": {"axis": 0}, "tensors": {}} for name in names]
    data = artifact(
        graph={**graph, "values": graph["values"] | dict.fromkeys(names, graph["values"]["act"]), "nodes": nodes}
    )
    for reader in (from_bytes, library.open):
        with pytest.raises((ArtifactError, ValueError), match=r"read more than 2"):
            reader(data)


def test_what_could_not_be_read_is_not_written() -> None:
    with pytest.raises(
        ArtifactError, match=r"provenance would take 262,\d+ bytes of a file, expected fewer than 262,144"
    ):
        make(provenance={"a": "x" * MAX_PART})
