"""The graph of an artifact's document: every type, index, shape and tensor is checked as soon as it is read."""

import math
import sys
from collections.abc import Callable, Mapping, Set
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.artifact_file.container import Container, Entry
from bitwright.artifact_file.limits import MAX_INPUTS, MAX_NODES, MAX_RANK
from bitwright.artifact_file.parts import Parts
from bitwright.errors import ArtifactError
from bitwright.graph import LOGITS, Graph, Node, Value
from bitwright.graph_check import MAX_ELEMENTS
from bitwright.ops import INTEGER_OPS
from bitwright.qtensor import QType
from bitwright.schemes import SCHEMES

_OF_VALUE = frozenset(("shape", "type", "channel"))
_OF_NODE = frozenset(("name", "op", "inputs", "attrs", "tensors", "origin"))


def fields(
    parts: Parts, where: str, readers: Mapping[str, Callable[[], Any]], optional: Set[str] = frozenset()
) -> dict[str, Any]:
    """The members of the object here, each as its reader reads it."""
    expected = f"{where}: expected the keys {sorted(readers)}"
    if parts.next() != "{":
        raise ArtifactError(f"{expected}, found what begins with {parts.next()!r}")
    found = {}
    for key in parts.members():
        if key not in readers:
            raise ArtifactError(f"{expected}, found {key!r:.100}")
        found[key] = readers[key]()
    if missing := readers.keys() - optional - found.keys():
        raise ArtifactError(f"{expected}, found none of {sorted(missing)}")
    return found


class GraphReader:
    """Reads the graph of a document, and takes its tensors out of those of the file."""

    def __init__(self, parts: Parts, file: Container) -> None:
        self._parts, self._file = parts, file
        self._values: dict[str, Value] | None = None
        self.lacks: str | None = None
        """What is wrong with the graph, where its format is not the first."""

    def read(self) -> Graph:
        parts, where = self._parts, "the graph"
        readers: dict[str, Callable[[], Any]] = {
            "output": parts.part,
            "output_name": parts.part,
            "others": self._others,
            "values": self._read_values,
            "nodes": self._nodes_or_where,
        }
        record = fields(parts, where, readers, {"output_name", "others"})
        nodes, others = record["nodes"], record.get("others", {})
        if isinstance(nodes, int):
            end, parts.at = parts.at, nodes
            nodes, parts.at = self._nodes(), end
        if "others" not in record:
            self.lacks = f"{where}: expected the keys {sorted(record)} and others"
        if not isinstance(record["output"], str):
            raise ArtifactError(f"the graph's output must be a name, found {record['output']!r:.100}")
        name = record.get("output_name", LOGITS)
        if not isinstance(name, str) or name in others:
            raise ArtifactError(f"expected a name of the output that no other has, found {name!r:.100}")
        computed, values = {node.name for node in nodes}, self._values or {}
        inputs = tuple(name for name in values if name not in computed)
        return Graph(tuple(nodes), values, record["output"], others, inputs, name)

    def _others(self) -> dict[str, str]:
        wrong = "the graph's other outputs must be an object of names"
        if self._parts.next() != "{":
            raise ArtifactError(f"{wrong}, found what begins with {self._parts.next()!r}")
        found = {}
        for key in self._parts.members():
            found[key] = self._parts.part()
            if not isinstance(found[key], str) or len(found) > MAX_NODES:
                raise ArtifactError(f"{wrong}, of {MAX_NODES:,} at most, found {found[key]!r:.100}")
        return found

    def _read_values(self) -> None:
        if self._parts.next() != "{":
            raise ArtifactError("the graph's values must be an object and its nodes a list")
        types, self._values = 0, {}
        for name in self._parts.members():
            where, value = f"value {name!r:.100}", self._parts.part()
            if isinstance(value, dict) and value.keys() == _OF_VALUE - {"channel"}:
                self.lacks = f"{where}: expected the keys {sorted(_OF_VALUE)}, found {sorted(value)}"
                value["channel"] = 0
            _expect_keys(value, _OF_VALUE, where)
            type_ = None if value["type"] is None else QType.from_json(value["type"], where)
            types += type_ is not None and type_.per_channel
            if types > 1:
                raise ArtifactError(f"{where}: only the image may have a scale and a zero point per channel")
            if type(value["channel"]) is not int:
                raise ArtifactError(f"{where}: expected an axis as its channel, found {value['channel']!r:.100}")
            if len(self._values) > MAX_NODES:
                raise ArtifactError(f"expected at most {MAX_NODES:,} nodes, and a value of each, found more")
            self._values[name] = Value(_shape(value["shape"], where), type_, value["channel"])

    def _nodes_or_where(self) -> list[Node] | int:
        """The nodes; or where they begin, where the values, which they name, come behind them."""
        if self._parts.next() != "[":
            raise ArtifactError("the graph's values must be an object and its nodes a list")
        if self._values is not None:
            return self._nodes()
        begin = self._parts.at
        for count, _ in enumerate(self._parts.items()):
            if count == MAX_NODES or self._parts.next() != "{":
                raise ArtifactError(f"expected at most {MAX_NODES:,} nodes, each an object")
            self._parts.part()
        return begin

    def _nodes(self) -> list[Node]:
        names, nodes, inputs = {name: name for name in self._values or ()}, list[Node](), 0
        for _ in self._parts.items():
            if len(nodes) == MAX_NODES:
                raise ArtifactError(f"expected at most {MAX_NODES:,} nodes, found more")
            nodes.append(self._node(self._parts.part(), names))
            inputs += len(nodes[-1].inputs)
            if inputs > MAX_INPUTS:
                raise ArtifactError(f"the graph's nodes read more than {MAX_INPUTS:,} values")
        return nodes

    def _node(self, record: Any, names: Mapping[str, str]) -> Node:
        """A node; what `names` has is told by the same text everywhere."""
        _expect_keys(record, _OF_NODE, "a node")
        name, op = record["name"], record["op"]
        if not (isinstance(name, str) and isinstance(op, str) and isinstance(record["origin"], str)):
            raise ArtifactError(f"a node's name, op and origin must be strings, found {name!r:.100}, {op!r:.100}")
        inputs, attrs, shapes = record["inputs"], record["attrs"], record["tensors"]
        if not (isinstance(inputs, list) and {*map(type, inputs)} <= {str}):
            raise ArtifactError(f"node {name!r:.100}: its inputs must be a list of names")
        if unknown := [input for input in inputs if input not in names]:
            raise ArtifactError(f"node {name!r:.100}: reads {unknown[:5]!r:.200}, which no earlier node computes")
        if not isinstance(attrs, dict) or not isinstance(shapes, dict):
            raise ArtifactError(f"node {name!r:.100}: its attributes and tensors must be objects")
        if op not in INTEGER_OPS:
            raise ArtifactError(f"node {name!r:.100} ({op:.100}): unknown op; known ops: {', '.join(INTEGER_OPS)}")
        if attrs.keys() != INTEGER_OPS[op].attrs.keys():
            wanted, found = sorted(INTEGER_OPS[op].attrs), sorted(attrs)
            raise ArtifactError(f"node {name!r:.100} ({op}): expected attributes {wanted}, found {found!r:.200}")
        attrs = {
            sys.intern(key): _attribute(value, f"node {name!r:.100}: {key!r:.100}") for key, value in attrs.items()
        }
        tensors = {}
        for key, shape in shapes.items():
            where = f"tensor {name:.100}/{key:.100}"
            entry = self._file.tensors.pop(f"{name}/{key}", None)
            if entry is None:
                raise ArtifactError(f"{where} is missing")
            scheme = attrs.get("weights") if key == "weight" else None
            tensors[sys.intern(key)] = _unpack(_array(entry, self._file), _shape(shape, where), scheme, where)
        inputs = tuple([names[input] for input in inputs])
        return Node(names.get(name, name), sys.intern(op), inputs, attrs, tensors, record["origin"])


DTYPES = {"F32": np.float32, "U8": np.uint8}


def _array(entry: Entry, file: Container) -> npt.NDArray[Any]:
    """The tensor in the file's own bytes, wherever they lie."""
    return np.frombuffer(file.whole[entry.begin : entry.stop], DTYPES[entry.dtype]).reshape(entry.shape)


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
    if not (isinstance(value, list) and 0 < len(value) <= MAX_RANK and {*map(type, value)} == {int} and min(value) > 0):
        raise ArtifactError(f"{where}: expected a shape, found {value!r:.100}")
    if math.prod(value) > MAX_ELEMENTS:
        raise ArtifactError(f"{where}: {value} has more than {MAX_ELEMENTS} elements")
    return tuple(value)


def _attribute(value: Any, where: str, depth: int = 2) -> Any:
    """A number, text, or a tuple of MAX_RANK of them or of such tuples at most."""
    if isinstance(value, list):
        if depth and len(value) <= MAX_RANK:
            return tuple([_attribute(v, where, depth - 1) for v in value])
    elif not isinstance(value, dict):
        return sys.intern(value) if isinstance(value, str) else value
    raise ArtifactError(f"{where} has a bad value: {value!r:.100}")


def _expect_keys(record: Any, keys: Set[str], where: str) -> None:
    if not isinstance(record, dict) or record.keys() != keys:
        found = f"{sorted(record)!r:.200}" if isinstance(record, dict) else f"{record!r:.100}"
        raise ArtifactError(f"{where}: expected the keys {sorted(keys)}, found {found}")
