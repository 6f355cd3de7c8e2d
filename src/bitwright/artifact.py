"""The artifact: an integer model in one safetensors file. Nothing in it can run code.

Tensors hold packed codes and float32 multipliers, named `node/tensor`; the metadata's one key, `bitwright`, holds JSON with
the graph, the preprocessing, the class names and the provenance. A file is checked completely before it is used: every
index, shape, range, scale and overflow bound. The same contents give the same bytes.
"""

import gc
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from bitwright.class_files import class_names
from bitwright.classes import ClassNames, named_anew
from bitwright.errors import ArtifactError, GraphError, PreprocessError
from bitwright.files import write_atomically
from bitwright.foreign import unreadable, what_it_is
from bitwright.graph import INPUT, Graph, Node, Value
from bitwright.images.preprocess import Preprocess
from bitwright.ops import INTEGER_OPS, integer_op
from bitwright.prediction import class_count
from bitwright.qtensor import QType
from bitwright.schemes import SCHEMES

FORMAT = 2
"""What is written. Format 1, which said nothing of channels, is read for ever: all its values have axis 0 as their channel."""
MAX_NODES = 100_000
MAX_ELEMENTS = 2**28
"""No value may have more elements per image than this, so that a small file cannot claim all memory."""


@dataclass(frozen=True)
class Artifact:
    """An integer model: what an engine runs, and all that is known about how it was made."""

    graph: Graph
    preprocess: Preprocess
    classes: tuple[str, ...] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_graph(self.graph, self.preprocess)
        check_classifier(self.graph)
        if self.classes is not None and len(self.classes) not in (self.outputs, class_count(self.outputs)):
            raise ArtifactError(f"the model has {self.outputs} outputs, but {len(self.classes)} class names were given")

    @property
    def outputs(self) -> int:
        """How many logits an image has; one stands for two classes (`bitwright.prediction`)."""
        return self.graph.values[self.graph.output].shape[0]

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """What each class is called: its name, or its number where the artifact has no names."""
        if self.classes is None:
            return tuple(map(str, range(class_count(self.outputs))))
        return self.classes if len(self.classes) > 1 or self.outputs > 1 else (f"not {self.classes[0]}", *self.classes)

    @property
    def known_classes(self) -> ClassNames | None:
        """The names to match labels with; None where the artifact has none."""
        return None if self.classes is None else ClassNames(self.class_names)

    def with_classes(self, classes: ClassNames | str | os.PathLike[str] | Iterable[str] | None) -> "Artifact":
        """The same model with these class names, in its order: a sequence, or the path of a file (`bitwright.class_files`).

        A file in another order than the names that the artifact has is matched with them by name. None takes names away.
        Raises LabelError where there is not one name for each class.
        """
        if classes is None:
            return replace(self, classes=None)
        named = named_anew(self.known_classes, class_names(classes), class_count(self.outputs))
        return replace(self, classes=named.names)

    @cached_property
    def data(self) -> bytes:
        """The file's bytes."""
        tensors: dict[str, npt.NDArray[Any]] = {}
        nodes = []
        for node in self.graph.nodes:
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
            for name, value in self.graph.values.items()
        }
        document = {
            "format": FORMAT,
            "graph": {"output": self.graph.output, "others": dict(self.graph.others), "values": values, "nodes": nodes},
            "preprocess": self.preprocess.to_json(),
            "classes": self.classes,
            "provenance": dict(self.provenance),
        }
        try:
            text = json.dumps(document, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError) as error:
            raise ArtifactError(f"the provenance cannot be written as JSON: {error}") from error
        _expect_text(document, text)
        return safetensors.numpy.save(tensors, {"bitwright": text})

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file, as hexadecimal."""
        import hashlib  # here and not above: engines only read

        return hashlib.sha256(self.data).hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file: whole or not at all, on the disk when this returns. See `files.write_atomically`."""
        write_atomically(_path(path), self.data)


_TO_QUANTIZE = "make one with: bitwright quantize MODEL --weights THIS_FILE --data SRC -o OUT"


def load(path: str | os.PathLike[str]) -> Artifact:
    """Read and check an artifact. ArtifactError where the file is missing, damaged, foreign or inconsistent."""
    return from_bytes(read(path), str(_path(path)))


def read(path: str | os.PathLike[str]) -> bytes:
    """The bytes of an artifact's file, unchecked. ArtifactError where there is none, with what to do about that."""
    file = _path(path)
    try:
        return file.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {file}: {error.strerror or error}{unreadable(error, str(file))}") from error


def _path(path: str | os.PathLike[str]) -> Path:
    """ArtifactError for what can name no file: another type, or text with a NUL or a lone surrogate in it."""
    try:
        if b"\0" not in os.fsencode(path):
            return Path(os.fsdecode(path))
    except (TypeError, ValueError):
        pass
    raise ArtifactError(f"expected the path of an artifact file, found {path!r:.200}")


def from_bytes(data: bytes, where: str = "artifact") -> Artifact:
    """Check and parse the bytes of an artifact; `where` names them in errors."""
    with _collector_paused():
        return _from_bytes(data, where)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Python's search for cycles of garbage waits: thousands of records hold none, and it would be a quarter of the time."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _from_bytes(data: bytes, where: str) -> Artifact:
    try:
        stored = safetensors.deserialize(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        text = (header.get("__metadata__") or {}).get("bitwright")
        if text is None:
            raise ArtifactError(f"{where}: {_weights(header)}, not a bitwright artifact; {_TO_QUANTIZE}")
        entries = {name: _array(entry, name) for name, entry in stored}
    except (safetensors.SafetensorError, ValueError, KeyError, RecursionError) as error:
        foreign = what_it_is(data, where)
        raise ArtifactError(f"{where}: {foreign or f'not a safetensors file, or a damaged one ({error})'}") from error
    try:
        document = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        _expect_text(document, text)
        return _parse(document, entries)
    except (GraphError, PreprocessError, ArtifactError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{where}: {error}") from error


def _weights(header: Mapping[str, Any]) -> str:
    """What a safetensors file is that is no artifact, from its header: how many tensors, their numbers and types."""
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    if not tensors:
        return "a safetensors file without tensors"
    numbers = sum(math.prod(entry["shape"]) for entry in tensors.values())
    name, first = next(iter(tensors.items()))
    dtypes = ", ".join(sorted({entry["dtype"] for entry in tensors.values()}))
    return (
        f"the weights of a model ({len(tensors):,} tensors with {numbers:,} numbers of {dtypes}, "
        f"such as {name!r:.100} {first['shape']})"
    )


def _array(entry: Mapping[str, Any], name: str) -> npt.NDArray[Any]:
    dtypes = {"F32": np.float32, "U8": np.uint8}
    if entry["dtype"] not in dtypes:
        raise ValueError(f"tensor {name!r} has the dtype {entry['dtype']}, expected one of {sorted(dtypes)}")
    return np.frombuffer(entry["data"], dtypes[entry["dtype"]]).reshape(entry["shape"])


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number that JSON knows")


def _expect_text(document: Any, text: str) -> None:
    """JSON can escape half of a surrogate pair, which is no text: it cannot be printed, nor be handed to C++."""
    if "\\u" in text:
        try:
            json.dumps(document, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ArtifactError(f"it holds text with a lone surrogate, {error.object[error.start]!r}") from error


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} does not fit a float")
    return number


def _parse(document: Any, entries: dict[str, npt.NDArray[Any]]) -> Artifact:
    _expect_keys(document, {"format", "graph", "preprocess", "classes", "provenance"}, "the document")
    if type(document["format"]) is not int or not 1 <= document["format"] <= FORMAT:
        raise ArtifactError(
            f"expected format 1 to {FORMAT}, found {document['format']!r}; upgrade bitwright to read newer files"
        )
    graph = _parse_graph(document["graph"] if document["format"] > 1 else _upgraded(document["graph"]), entries)
    if entries:
        raise ArtifactError(f"tensors that no node uses: {sorted(entries)[:5]}")
    classes = document["classes"]
    if classes is not None and not (isinstance(classes, list) and all(isinstance(c, str) for c in classes)):
        raise ArtifactError("class names must be a list of strings")
    if not isinstance(document["provenance"], dict):
        raise ArtifactError("the provenance must be an object")
    preprocess = Preprocess.from_json(document["preprocess"])
    return Artifact(graph, preprocess, None if classes is None else tuple(classes), document["provenance"])


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


def _parse_graph(record: Any, entries: dict[str, npt.NDArray[Any]]) -> Graph:
    _expect_keys(record, {"output", "others", "values", "nodes"}, "the graph")
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
    return Graph(nodes, values, record["output"], others)


def _parse_node(record: Any, entries: dict[str, npt.NDArray[Any]]) -> Node:
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
        return stored
    if not isinstance(scheme, str) or scheme not in SCHEMES.ours or stored.dtype != np.uint8 or stored.ndim != 1:
        raise ArtifactError(
            f"{where}: expected packed bytes of a known scheme, found {stored.dtype} of {scheme!r:.100}"
        )
    try:
        return SCHEMES[scheme].unpack(stored, math.prod(shape)).reshape(shape)
    except ValueError as error:
        raise ArtifactError(f"{where}: {error}") from error


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


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_graph(graph: Graph, preprocess: Preprocess) -> None:
    """Raise GraphError unless an integer graph is complete, consistent, safe to allocate and safe from overflow."""
    image, scheme = graph.values.get(INPUT), "uint8" if preprocess.encoder is None else "bit"
    if image is None or image.shape != preprocess.codes_shape:
        raise GraphError(f"expected an input of {preprocess.codes_shape}, found {image and image.shape}")
    if image.type is None or not image.type.per_channel or image.type.scheme != scheme:
        raise GraphError(f"expected an input of {scheme} with a scale per channel, found {image.type}")
    if set(graph.values) != {INPUT} | {node.name for node in graph.nodes} or len(graph.values) != len(graph.nodes) + 1:
        raise GraphError("every value must be the input or the result of exactly one node")
    known = {INPUT}
    if image.channel != 0:
        raise GraphError(f"expected an input with axis 0 as its channel, found axis {image.channel}")
    image.type.check("input", image.channels)
    sound: set[tuple[QType, int]] = set()  # types, with so many channels: thousands of values may have the same
    for node in graph.nodes:
        where = f"node {node.name!r} ({node.op})"
        if not (node.name + node.origin).isascii() and not _is_text(node.name + node.origin):
            raise GraphError(f"{where}: its name or origin holds a lone surrogate, which is no text")
        if node.op not in INTEGER_OPS:
            raise GraphError(f"{where}: unknown op; known ops: {', '.join(INTEGER_OPS)}")
        if not known.issuperset(node.inputs):
            raise GraphError(f"{where}: reads {sorted(set(node.inputs) - known)}, which no earlier node computes")
        value = graph.values[node.name]
        if not 0 <= value.channel < len(value.shape):
            raise GraphError(f"{where}: its result {value.shape} has no axis {value.channel} to be its channel")
        if math.prod(value.shape) > MAX_ELEMENTS:
            raise GraphError(f"{where}: its result has more than {MAX_ELEMENTS} elements")
        if value.type is not None and (value.type, value.channels) not in sound:
            value.type.check(where, value.channels)
            sound.add((value.type, value.channels))
        integer_op(node).validate(node, graph.inputs_of(node), value)
        known.add(node.name)
    for output in graph.outputs:
        if output not in known or graph.values[output].type is not None:
            raise GraphError(f"the output {output!r:.100} must be a value, and float32")


def check_classifier(graph: Graph) -> None:
    """Raise GraphError unless a checked graph gives logits: one axis of numbers, a number for each class."""
    if len(graph.values[graph.output].shape) != 1:
        raise GraphError(f"the output {graph.output!r:.100} must be a value of one axis, the logits")
