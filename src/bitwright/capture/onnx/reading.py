"""`read`: an ONNX file as a protobuf that has been checked. Nothing in the file is trusted.

Each tensor holds as many bytes as its sizes say; data outside the file lies in the file's own folder, in plain files, and is
bounded by what is there; operators are of ONNX itself, or of a domain that a plugin knows. Only then does `onnx.checker`
see it.
"""

import math
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from bitwright.capture.onnx.qoperators import KNOWN
from bitwright.capture.onnx.table import OPS
from bitwright.errors import ModelError
from bitwright.files import read_bytes

OPSETS = (11, onnx.defs.onnx_opset_version())
"""The first and the last opset that is read."""
MAX_BYTES = 2**31 - 1
"""Of a file, and of all tensors together: protobuf holds no more."""
MAX_NODES = 200_000
"""With every function of the model written out where it is called."""
DOMAINS = ("", "ai.onnx")
_BITS: dict[int, int] = {
    TensorProto.FLOAT: 32,
    TensorProto.DOUBLE: 64,
    TensorProto.FLOAT16: 16,
    TensorProto.BFLOAT16: 16,
    TensorProto.BOOL: 8,
    TensorProto.INT8: 8,
    TensorProto.UINT8: 8,
    TensorProto.INT4: 4,
    TensorProto.UINT4: 4,
    TensorProto.INT2: 2,
    TensorProto.UINT2: 2,
    TensorProto.INT16: 16,
    TensorProto.UINT16: 16,
    TensorProto.INT32: 32,
    TensorProto.UINT32: 32,
    TensorProto.INT64: 64,
    TensorProto.UINT64: 64,
}
_FIELDS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")


def read(path: str) -> ModelProto:
    """The model in a file, its external data in it.

    Raises:
        ModelError: the file is missing, damaged, inconsistent, of an opset or a domain that is not read, or refers to data
            outside its own folder.
    """
    file = Path(path)
    model = ModelProto()
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ModelError(f"{path}: expected at most {MAX_BYTES} bytes, found {file.stat().st_size}")
        model.ParseFromString(read_bytes(file))
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from error
    except (DecodeError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path}: not an ONNX file, or one that was cut off or damaged ({error})") from error
    check(model, file)
    return model


def check(model: ModelProto, file: Path) -> None:
    """Check a model, and put external data into it. ModelError where it cannot be used."""
    if not model.graph.node:
        raise ModelError(f"{file}: not an ONNX model, or a damaged one: its graph has no nodes")
    _check_opsets(model, file)
    if _count(model) > MAX_NODES:
        raise ModelError(f"{file}: expected at most {MAX_NODES} nodes, with functions written out")
    total = 0
    for tensor in _tensors(model):
        total += _check_tensor(tensor, file)
        if total > MAX_BYTES:
            raise ModelError(f"{file}: its tensors hold more than {MAX_BYTES} bytes")
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # of onnx's own types, and of protobuf's for text that is none
        raise ModelError(f"{file}: onnx.checker refuses it: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{lines[0] if lines else type(error).__name__:.300}"


def _check_opsets(model: ModelProto, file: Path) -> None:
    versions = {opset.domain: opset.version for opset in model.opset_import}
    ours = next((versions[domain] for domain in DOMAINS if domain in versions), None)
    if ours is None or not OPSETS[0] <= ours <= OPSETS[1]:
        raise ModelError(
            f"{file}: expected a model of opset {OPSETS[0]} to {OPSETS[1]}, found {ours}; export it again, or convert it "
            "with onnx.version_converter.convert_version(model, 17)"
        )
    local = {(function.domain, function.name) for function in model.functions}
    for node in _nodes(model):
        if node.domain in DOMAINS or (node.domain, node.op_type) in local:
            continue
        if (name := f"{node.domain}.{node.op_type}") not in OPS and name not in KNOWN:
            raise ModelError(
                f"{file}: the node {node.name or list(node.output)!r} is of the op {node.op_type!r} of the domain "
                f"{node.domain!r}; only ops of ONNX itself are known: export the model without that optimizer or extension, "
                f"or register an onnx_op {name!r} (docs/plugins.md)"
            )


def _count(model: ModelProto) -> int:
    """How many nodes there are when each call of a function is replaced by its body."""
    functions = {(function.domain, function.name): function for function in model.functions}
    known: dict[tuple[str, str], int] = {}

    def of(nodes: Iterator[NodeProto], above: tuple[tuple[str, str], ...]) -> int:
        found = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key in functions and key not in known:
                if key in above:
                    raise ModelError(f"the function {node.op_type!r} of the model calls itself")
                known[key] = of(_flat(functions[key].node), (*above, key))
            found += known.get(key, 1)
        return found

    return of(_flat(model.graph.node), ())


def _nodes(model: ModelProto) -> Iterator[NodeProto]:
    yield from _flat(model.graph.node)
    for function in model.functions:
        yield from _flat(function.node)


def _flat(nodes: object) -> Iterator[NodeProto]:
    """Nodes, and those of their subgraphs; protobuf bounds how deep they lie."""
    for node in nodes:  # type: ignore[attr-defined]
        yield node
        for graph in _subgraphs(node):
            yield from _flat(graph.node)


def _subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    graphs = [model.graph, *(graph for node in _nodes(model) for graph in _subgraphs(node))]
    for graph in graphs:
        if graph.sparse_initializer:
            raise ModelError("sparse initializers are not read; store the weights densely")
        yield from graph.initializer
    for node in _nodes(model):
        for attribute in node.attribute:
            if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
                raise ModelError(f"the node {node.name!r} has a sparse tensor; store it densely")
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _check_tensor(tensor: TensorProto, file: Path) -> int:
    """How many bytes a tensor has; ModelError where it is not what its sizes say."""
    name = f"{file}: the tensor {tensor.name!r:.100}"
    bits = _BITS.get(tensor.data_type)
    if bits is None:
        raise ModelError(f"{name}: numbers of the type {tensor.data_type} are not read")
    if any(size < 0 for size in tensor.dims):
        raise ModelError(f"{name}: expected sizes of 0 and above, found {list(tensor.dims)}")
    expected: int = -(-math.prod(tensor.dims) * bits // 8)
    if expected > MAX_BYTES:
        raise ModelError(f"{name}: it would have {expected} bytes, more than {MAX_BYTES}")
    if tensor.data_location == TensorProto.EXTERNAL:
        _bring_in(tensor, expected, file, name)
    if tensor.HasField("raw_data"):
        if len(tensor.raw_data) != expected:
            raise ModelError(f"{name}: expected {expected} bytes for {list(tensor.dims)}, found {len(tensor.raw_data)}")
        return expected
    found = max(len(getattr(tensor, field)) for field in _FIELDS)
    if found != (expected if bits < 8 else math.prod(tensor.dims)):
        raise ModelError(f"{name}: expected {math.prod(tensor.dims)} numbers for {list(tensor.dims)}, found {found}")
    return expected


def _bring_in(tensor: TensorProto, expected: int, file: Path, name: str) -> None:
    """Read a tensor's data from a plain file in the model's own folder, without following links."""
    given = {entry.key: entry.value for entry in tensor.external_data}
    location = given.get("location", "")
    parts = PurePosixPath(location).parts
    if not parts or location.startswith("/") or "\\" in location or "\0" in location or {"..", "."} & set(parts):
        raise ModelError(f"{name}: its data lies at {location!r:.200}, expected a file in the model's own folder")
    try:
        offset, length = int(given.get("offset", 0)), int(given.get("length", expected))
    except ValueError:
        raise ModelError(f"{name}: expected whole numbers as offset and length of its data, found {given}") from None
    path = file.parent
    try:
        for part in parts:
            path = path / part
            if stat.S_ISLNK(path.lstat().st_mode):
                raise ModelError(f"{name}: its data lies behind the link {path}; put the file itself there")
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise ModelError(f"{name}: its data, {path}, is no plain file")
        if length != expected or offset < 0 or offset + expected > found.st_size:
            raise ModelError(
                f"{name}: expected {expected} bytes of data, found {length} at {offset} of {path}, which has {found.st_size}"
            )
        with path.open("rb") as data:
            data.seek(offset)
            tensor.raw_data = data.read(expected)
    except OSError as error:
        raise ModelError(f"{name}: cannot read its data, {path}: {error.strerror or error}") from error
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]
