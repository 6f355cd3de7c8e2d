"""A small artifact in which every integer op occurs, and ways to change its file."""

import copy
import json
import struct
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from bitwright.artifact import Artifact, from_bytes
from bitwright.engine import Engine
from bitwright.errors import ArtifactError
from bitwright.graph import Graph, Node, Value
from bitwright.images.preprocess import Preprocess
from bitwright.ops import INTEGER_OPS
from bitwright.qtensor import QType
from bitwright.schemes import SCHEMES
from tests.conformance.ops.cases import GROW
from tests.kernels.random_graph import RandomGraph

HEIGHT, WIDTH = 6, 5
IMAGE = QType("uint8", (0.01, 0.02, 0.03), (0, 128, 255), (0.0, -0.01, 0.01))
U8 = QType("uint8", 0.05, 128)
U4 = QType("uint4", 0.5, 3)
WEIGHTS = [name for name, scheme in SCHEMES.items() if scheme.weights]
SIGNED = [name for name in WEIGHTS if name.startswith("int")]
BOUNDS = {"lo": 0, "hi": 255}
WRITTEN_OUT = {
    *("conv2d", "linear", "batch_norm", "add", "mul", "max_pool2d", "avg_pool2d", "global_avg_pool2d", "constant"),
    *("concat", "slice", "pad", "reshape", "permute", "table", "dequantize"),
}
"""Ops that `make` has itself."""


def f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def make(
    weights: str = "int8",
    classes: tuple[str, ...] | None = ("cat", "dog", "eel"),
    provenance: Any = None,
    without: tuple[str, ...] = (),
) -> Artifact:
    """A small model in which every integer op occurs, but for some: a new one by its row in tests/conformance/ops."""
    rng = np.random.default_rng(1)
    scheme = SCHEMES[weights]
    values = {"input": Value((3, HEIGHT, WIDTH), IMAGE)}
    nodes: list[Node] = []

    def add(name, op, inputs, shape, type_=U8, attrs=None, **tensors):
        nodes.append(Node(name, op, inputs, attrs or {}, tensors, origin=f"model.{name}"))
        values[name] = Value(shape, type_)

    def layer(name, op, inputs, shape, weight_shape, type_=U8, **attrs):
        weight = rng.choice(range(scheme.lo, scheme.hi + 1, scheme.step), weight_shape).astype(np.int8)
        residual = {"m_r": f32(0.5)} if len(inputs) == 2 else {}
        m = rng.uniform(-0.1, 0.1, shape[0]).astype(np.float32)
        b = rng.uniform(0, 255, shape[0]).astype(np.float32)
        add(
            name, op, inputs, shape, type_, {"weights": weights, **BOUNDS, **attrs}, weight=weight, m=m, b=b, **residual
        )

    def grown(x):
        """`x` behind every op that is not written out here, as tests/conformance/ops has it."""
        g = RandomGraph((3, HEIGHT, WIDTH))
        g.nodes, g.values = nodes, values
        for op in sorted(INTEGER_OPS.keys() - WRITTEN_OUT - {*without}):
            x = GROW[op](g, x)
        return x

    window = {"stride": (1, 1), "padding": (1, 1, 1, 1)}
    convolution = {**window, "dilation": (1, 1), "groups": 1}
    layer("stem", "conv2d", ("input",), (4, 3, 3), (4, 3, 3, 3), **{**convolution, "stride": (2, 2)})
    layer("dw", "conv2d", ("stem", "stem"), (4, 3, 3), (4, 1, 3, 3), **{**convolution, "groups": 4})
    add("pixels", "table", ("input",), (3, HEIGHT, WIDTH), U8, table=rng.integers(0, 256, (3, 256)).astype(np.uint8))
    add("act", "table", ("dw",), (4, 3, 3), U8, table=rng.integers(0, 256, 256).astype(np.uint8))
    add("squeeze", "global_avg_pool2d", ("act",), (4, 1, 1), U4, m=f32(0.01))
    add("excite", "mul", ("act", "squeeze"), (4, 3, 3), U8, BOUNDS, m=f32(0.05))
    add("places", "constant", (), (4, 3, 3), U8, codes=rng.integers(0, 256, (4, 3, 3)).astype(np.uint8))
    add("sum", "add", (grown("excite"), "places"), (4, 3, 3), U8, BOUNDS, m_a=f32(0.5), m_b=f32(-0.7))
    add("bn", "batch_norm", ("sum",), (4, 3, 3), U8, BOUNDS, m=f32(1, 2, -1, 0), b=f32(1, 20, 100, 3))
    add("top", "max_pool2d", ("bn",), (4, 3, 3), U8, {**window, "kernel": (3, 3), "dilation": (1, 1)})
    mean = rng.uniform(0.1, 0.2, (3, 3)).astype(np.float32)
    add("mean", "avg_pool2d", ("bn",), (4, 3, 3), U8, {**window, "kernel": (3, 3)}, m=mean)
    add("both", "concat", ("top", "mean"), (8, 3, 3), U8, {"axis": 0})
    add("half", "slice", ("both",), (4, 3, 3), U8, {"axis": 0, "start": 1, "stop": 8, "step": 2})
    add("wide", "pad", ("half",), (4, 3, 4), U8, {"padding": ((0, 0), (0, 0), (1, 0))})
    add("turned", "permute", ("wide",), (3, 4, 4), U8, {"dims": (1, 2, 0)})
    add("flat", "reshape", ("turned",), (48,), U8, {"shape": (48,)})
    layer("hidden", "linear", ("flat",), (3,), (3, 48))
    add("logits", "dequantize", ("hidden",), (3,), None, m=f32(0.05))
    graph = Graph(tuple(nodes), values, "logits")
    preprocess = Preprocess(size=(HEIGHT, WIDTH), resize=8, mean=(0.0, 0.5, 1.0), std=(0.3, 0.2, 0.1))
    return Artifact(graph, preprocess, classes, provenance or {"recipe": "w4a8", "accuracy": 0.75, "seeds": [1, 2]})


ARTIFACT = make("int5")
IMAGES = np.random.default_rng(2).integers(0, 256, (2, HEIGHT, WIDTH, 3), dtype=np.uint8)


def header_and_body(data: bytes) -> tuple[dict[str, Any], bytes]:
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def with_header(header: Any, body: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def document_of(data: bytes) -> Any:
    """Without the digest of the contents, as earlier versions wrote it: what else is wrong with a file has to be found."""
    document = json.loads(header_and_body(data)[0]["__metadata__"]["bitwright"])
    del document["provenance"]["sha256"]
    return document


HEADER, BODY = header_and_body(ARTIFACT.data)
DOCUMENT = document_of(ARTIFACT.data)


def with_text(text: str) -> bytes:
    return with_header({**HEADER, "__metadata__": {"bitwright": text}}, BODY)


def with_document(document: Any) -> bytes:
    return with_text(json.dumps(document))


DATA = with_text(json.dumps(DOCUMENT, separators=(",", ":")))


def edited(edit: Callable[[Any], object]) -> bytes:
    """The artifact with its document changed in place by `edit`."""
    document = copy.deepcopy(DOCUMENT)
    edit(document)
    return with_document(document)


def with_tensors(tensors: dict[str, np.ndarray], document: Any = DOCUMENT) -> bytes:
    return safetensors.numpy.save(tensors, {"bitwright": json.dumps(document)})


def stored() -> dict[str, np.ndarray]:
    return safetensors.numpy.load(DATA)


def node(document: Any, name: str) -> Any:
    return next(n for n in document["graph"]["nodes"] if n["name"] == name)


def value(document: Any, name: str) -> Any:
    return document["graph"]["values"][name]


def refuse(data: bytes, match: str | None = None) -> None:
    with pytest.raises(ArtifactError, match=match) as caught:
        from_bytes(data, "it.safetensors")
    assert str(caught.value).startswith("it.safetensors: ")


def refused_or_good(data: bytes) -> bool:
    """False where the bytes are refused; True where they are an artifact that runs and can be written again."""
    try:
        artifact = from_bytes(data)
    except ArtifactError:
        return False
    assert from_bytes(artifact.data).data == artifact.data
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # a flipped exponent may take t past float32
        logits = Engine(artifact)(np.zeros((1, *artifact.preprocess.shape), np.uint8))
    assert logits.dtype == np.float32
    assert logits.shape == (1, *artifact.graph.values[artifact.graph.output].shape)
    return True


def same(a: Artifact, b: Artifact) -> None:
    assert (a.classes, a.preprocess, a.graph.output) == (b.classes, b.preprocess, b.graph.output)
    assert dict(a.provenance) == dict(b.provenance)
    assert dict(a.graph.values) == dict(b.graph.values)
    for left, right in zip(a.graph.nodes, b.graph.nodes, strict=True):
        assert (left.name, left.op, left.inputs, left.origin) == (right.name, right.op, right.inputs, right.origin)
        assert dict(left.attrs) == dict(right.attrs)
        assert set(left.tensors) == set(right.tensors)
        for key, tensor in left.tensors.items():
            assert tensor.dtype == right.tensors[key].dtype
            np.testing.assert_array_equal(tensor, right.tensors[key])
