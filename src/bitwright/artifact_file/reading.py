"""From the bytes of a file to what they say: every type, index, shape and tensor is checked before it is used."""

import gc
import json
import math
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.artifact_file.container import Entry, read_container
from bitwright.artifact_file.seal import without_digest
from bitwright.artifact_file.writing import FORMAT, expect_text
from bitwright.errors import ArtifactError
from bitwright.foreign import what_it_is
from bitwright.graph import LOGITS, Graph, Node, Value
from bitwright.graph_check import MAX_ELEMENTS
from bitwright.images.preprocess import Preprocess
from bitwright.json_keys import each_key_once
from bitwright.qtensor import QType
from bitwright.schemes import SCHEMES

Entries = dict[str, npt.NDArray[Any]]
"""Tensors by their names in the file."""
MAX_NODES = 100_000


_TO_QUANTIZE = "make one with: bitwright quantize MODEL --weights THIS_FILE --data SRC -o OUT"


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


def stored(data: bytes, where: str) -> tuple[str, Entries]:
    """The document of an artifact's bytes, and the tensors beside it; `where` names the bytes in errors."""
    try:
        metadata, found = read_container(data)
        text = metadata.get("bitwright")
        if text is None:
            raise ArtifactError(f"{where}: {_weights(found)}, not a bitwright artifact; {_TO_QUANTIZE}")
        entries = {name: _array(entry, name) for name, entry in found.items()}
    except (ValueError, RecursionError) as error:
        foreign = what_it_is(data, where)
        raise ArtifactError(f"{where}: {foreign or f'not a safetensors file, or a damaged one ({error})'}") from error
    return text, entries


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


_DTYPES = {"F32": np.float32, "U8": np.uint8}


def _array(entry: Entry, name: str) -> npt.NDArray[Any]:
    """The tensor in the file's own bytes, wherever they lie."""
    if entry.dtype not in _DTYPES:
        raise ValueError(f"tensor {name!r} has the dtype {entry.dtype}, expected one of {sorted(_DTYPES)}")
    if len(entry.data) != math.prod(entry.shape) * np.dtype(_DTYPES[entry.dtype]).itemsize:
        raise ValueError(f"tensor {name!r} of {entry.dtype} {list(entry.shape)} has {len(entry.data)} bytes")
    return np.frombuffer(entry.data, _DTYPES[entry.dtype]).reshape(entry.shape)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number that JSON knows")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} does not fit a float")
    return number


def parsed(
    text: str, entries: Entries, data: bytes
) -> tuple[Graph, Preprocess, tuple[str, ...] | None, Mapping[str, Any]]:
    """What the document of a file's bytes says: the graph, the preprocessing, the class names and the provenance.

    ArtifactError, PreprocessError, ValueError or RecursionError where it is no such document.
    """
    document = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=each_key_once)
    expect_text(document, text)
    _expect_keys(document, {"format", "graph", "preprocess", "classes", "provenance"}, "the document")
    if type(document["format"]) is not int or not 1 <= document["format"] <= FORMAT:
        raise ArtifactError(
            f"expected format 1 to {FORMAT}, found {document['format']!r}; upgrade bitwright to read newer files"
        )
    if not isinstance(document["provenance"], dict):
        raise ArtifactError("the provenance must be an object")
    provenance = without_digest(document["provenance"], data)
    graph = _parse_graph(document["graph"] if document["format"] > 1 else _upgraded(document["graph"]), entries)
    if entries:
        raise ArtifactError(f"tensors that no node uses: {sorted(entries)[:5]}")
    classes = document["classes"]
    if classes is not None and not (isinstance(classes, list) and all(isinstance(c, str) for c in classes)):
        raise ArtifactError("class names must be a list of strings")
    preprocess = Preprocess.from_json(document["preprocess"])
    return graph, preprocess, None if classes is None else tuple(classes), provenance


def _upgraded(record: Any) -> Any:
    """A graph of format 1 as one of format 2; what is wrong with it is left for the parser to find."""
    values = record.get("values") if isinstance(record, dict) else None
    if not isinstance(values, dict):
        return record
    upgraded = {
        name: {**v, "channel": 0} if isinstance(v, dict) and "channel" not in v else v for name, v in values.items()
    }
    return {"others": {}, **record, "values": upgraded}


_OF_VALUE = frozenset(("shape", "type", "channel"))
_OF_NODE = frozenset(("name", "op", "inputs", "attrs", "tensors", "origin"))


def _parse_graph(record: Any, entries: Entries) -> Graph:
    record = {"output_name": LOGITS, **record} if isinstance(record, dict) else record
    _expect_keys(record, {"output", "output_name", "others", "values", "nodes"}, "the graph")
    if not isinstance(record["values"], dict) or not isinstance(record["nodes"], list):
        raise ArtifactError("the graph's values must be an object and its nodes a list")
    if len(record["nodes"]) > MAX_NODES:
        raise ArtifactError(f"expected at most {MAX_NODES} nodes, found {len(record['nodes'])}")
    values = {}
    for name, value in record["values"].items():
        where = f"value {name!r}"
        _expect_keys(value, _OF_VALUE, where)
        type_ = None if value["type"] is None else QType.from_json(value["type"], where)
        if type(value["channel"]) is not int:
            raise ArtifactError(f"{where}: expected an axis as its channel, found {value['channel']!r:.100}")
        values[name] = Value(_shape(value["shape"], where), type_, value["channel"])
    nodes = tuple(_parse_node(node, entries) for node in record["nodes"])
    if not isinstance(record["output"], str):
        raise ArtifactError(f"the graph's output must be a name, found {record['output']!r:.100}")
    others = record["others"]
    if not isinstance(others, dict) or not all(isinstance(value, str) for value in others.values()):
        raise ArtifactError(f"the graph's other outputs must be an object of names, found {others!r:.100}")
    if not isinstance(record["output_name"], str) or record["output_name"] in others:
        raise ArtifactError(f"expected a name of the output that no other has, found {record['output_name']!r:.100}")
    computed = {node.name for node in nodes}
    inputs = tuple(name for name in values if name not in computed)
    return Graph(nodes, values, record["output"], others, inputs, record["output_name"])


def _parse_node(record: Any, entries: Entries) -> Node:
    _expect_keys(record, _OF_NODE, "a node")
    name, op = record["name"], record["op"]
    if not (isinstance(name, str) and isinstance(op, str) and isinstance(record["origin"], str)):
        raise ArtifactError(f"a node's name, op and origin must be strings, found {name!r:.100}, {op!r:.100}")
    inputs, attrs, shapes = record["inputs"], record["attrs"], record["tensors"]
    if not (isinstance(inputs, list) and {*map(type, inputs)} <= {str}):
        raise ArtifactError(f"node {name!r}: its inputs must be a list of names")
    if not isinstance(attrs, dict) or not isinstance(shapes, dict):
        raise ArtifactError(f"node {name!r}: its attributes and tensors must be objects")
    attrs = {key: _tuples(value) for key, value in attrs.items()}
    tensors = {}
    for key, shape in shapes.items():
        where = f"tensor {name}/{key}"
        stored = entries.pop(f"{name}/{key}", None)
        if stored is None:
            raise ArtifactError(f"{where} is missing")
        tensors[key] = _unpack(stored, _shape(shape, where), attrs.get("weights") if key == "weight" else None, where)
    return Node(name, op, tuple(inputs), attrs, tensors, record["origin"])


def _unpack(stored: npt.NDArray[Any], shape: tuple[int, ...], scheme: Any, where: str) -> npt.NDArray[Any]:
    if scheme is None:
        if stored.shape != shape:
            raise ArtifactError(f"{where}: expected the shape {shape}, found {stored.shape}")
        return _aligned(stored)
    if not isinstance(scheme, str) or scheme not in SCHEMES.ours or stored.dtype != np.uint8 or stored.ndim != 1:
        raise ArtifactError(
            f"{where}: expected packed bytes of a known scheme, found {stored.dtype} of {scheme!r:.100}"
        )
    try:
        return SCHEMES[scheme].unpack(stored, math.prod(shape)).reshape(shape)
    except ValueError as error:
        raise ArtifactError(f"{where}: {error}") from error


def _aligned(stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A copy in memory of its own, aligned as its type is, that nobody can write to."""
    copy = stored.copy()
    copy.flags.writeable = False
    return copy


def _shape(value: Any, where: str) -> tuple[int, ...]:
    if not (isinstance(value, list) and 0 < len(value) <= 8 and {*map(type, value)} == {int} and min(value) > 0):
        raise ArtifactError(f"{where}: expected a shape, found {value!r:.100}")
    if math.prod(value) > MAX_ELEMENTS:
        raise ArtifactError(f"{where}: {value} has more than {MAX_ELEMENTS} elements")
    return tuple(value)


def _tuples(value: Any) -> Any:
    return tuple([_tuples(v) if isinstance(v, list) else v for v in value]) if isinstance(value, list) else value


def _expect_keys(record: Any, keys: Set[str], where: str) -> None:
    if not isinstance(record, dict) or record.keys() != keys:
        found = sorted(record) if isinstance(record, dict) else f"{record!r:.100}"
        raise ArtifactError(f"{where}: expected the keys {sorted(keys)}, found {found}")
