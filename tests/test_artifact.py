"""The artifact: what is written is read back, to the byte; whatever else the bytes are, ArtifactError says so."""

import copy
import gc
import hashlib
import json
import math
import os
import struct
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import bitwright.artifact
from bitwright.artifact import Artifact, from_bytes, load
from bitwright.engine import Engine
from bitwright.errors import ArtifactError, EngineError, GraphError, LabelError
from bitwright.graph import Graph, Node, Value
from bitwright.images.preprocess import Preprocess
from bitwright.ops import INTEGER_OPS
from bitwright.qtensor import QType
from bitwright.schemes import SCHEMES

HEIGHT, WIDTH = 6, 5
IMAGE = QType("uint8", (0.01, 0.02, 0.03), (0, 128, 255), (0.0, -0.01, 0.01))
U8 = QType("uint8", 0.05, 128)
U4 = QType("uint4", 0.5, 3)
WEIGHTS = [name for name, scheme in SCHEMES.items() if scheme.weights]
SIGNED = [name for name in WEIGHTS if name.startswith("int")]
BOUNDS = {"lo": 0, "hi": 255}


def f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def make(
    weights: str = "int8", classes: tuple[str, ...] | None = ("cat", "dog", "eel"), provenance: Any = None
) -> Artifact:
    """A small model in which every integer op occurs."""
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

    window = {"stride": (1, 1), "padding": (1, 1, 1, 1)}
    convolution = {**window, "dilation": (1, 1), "groups": 1}
    layer("stem", "conv2d", ("input",), (4, 3, 3), (4, 3, 3, 3), **{**convolution, "stride": (2, 2)})
    layer("dw", "conv2d", ("stem", "stem"), (4, 3, 3), (4, 1, 3, 3), **{**convolution, "groups": 4})
    add("pixels", "table", ("input",), (3, HEIGHT, WIDTH), U8, table=rng.integers(0, 256, (3, 256)).astype(np.uint8))
    bends = {"slope": f32(0.3, -1, 2), "before": f32(-3, 0, 2), "after": f32(1, 0, -1)}
    add("bent", "prelu", ("pixels",), (3, HEIGHT, WIDTH), U8, **bends)
    add("act", "table", ("dw",), (4, 3, 3), U8, table=rng.integers(0, 256, 256).astype(np.uint8))
    add("squeeze", "global_avg_pool2d", ("act",), (4, 1, 1), U4, m=f32(0.01))
    add("excite", "mul", ("act", "squeeze"), (4, 3, 3), U8, BOUNDS, m=f32(0.05))
    add("places", "constant", (), (4, 3, 3), U8, codes=rng.integers(0, 256, (4, 3, 3)).astype(np.uint8))
    add("sum", "add", ("excite", "places"), (4, 3, 3), U8, BOUNDS, m_a=f32(0.5), m_b=f32(-0.7))
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
DATA = ARTIFACT.data
IMAGES = np.random.default_rng(2).integers(0, 256, (2, HEIGHT, WIDTH, 3), dtype=np.uint8)


def header_and_body(data: bytes) -> tuple[dict[str, Any], bytes]:
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def with_header(header: Any, body: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


HEADER, BODY = header_and_body(DATA)
DOCUMENT = json.loads(HEADER["__metadata__"]["bitwright"])


def with_text(text: str) -> bytes:
    return with_header({**HEADER, "__metadata__": {"bitwright": text}}, BODY)


def with_document(document: Any) -> bytes:
    return with_text(json.dumps(document))


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


# --- round trip -------------------------------------------------------------------------------------------------------


def test_the_sample_holds_every_integer_op():
    assert {n.op for n in ARTIFACT.graph.nodes} == set(INTEGER_OPS)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_round_trip_through_bytes_at_every_bit_width(weights):
    artifact = make(weights)
    found = from_bytes(artifact.data)
    same(found, artifact)
    assert found.data == artifact.data
    assert found.digest == artifact.digest == hashlib.sha256(artifact.data).hexdigest()
    np.testing.assert_array_equal(Engine(found)(IMAGES), Engine(artifact)(IMAGES))


@pytest.mark.parametrize("weights", WEIGHTS)
def test_weights_take_their_bits_on_disk(weights):
    tensors = safetensors.numpy.load(make(weights).data)
    for name, count in (("stem", 4 * 27), ("dw", 4 * 9), ("hidden", 3 * 48)):
        bits = 8 / 5 if weights == "ternary" else SCHEMES[weights].bits
        assert tensors[f"{name}/weight"].shape == (math.ceil(count * bits / 8),)


def test_fewer_bits_give_a_smaller_file():
    sizes = [len(make(weights).data) for weights in SIGNED]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]


def test_the_same_contents_give_the_same_bytes():
    assert make("int5").data == DATA
    assert make("int4").data != DATA
    assert make("int5", provenance={"recipe": "w5a8"}).data != DATA
    assert make("int5", classes=("cat", "dog", "fox")).data != DATA


def test_the_layout_of_tensors_in_memory_does_not_matter():
    nodes = tuple(
        replace(n, tensors={k: np.asfortranarray(t) for k, t in reversed(list(n.tensors.items()))})
        for n in ARTIFACT.graph.nodes
    )
    assert any(not t.flags.c_contiguous for n in nodes for t in n.tensors.values())
    artifact = replace(ARTIFACT, graph=replace(ARTIFACT.graph, nodes=nodes))
    assert artifact.data == DATA


def test_an_artifact_needs_no_classes_and_no_provenance():
    artifact = Artifact(ARTIFACT.graph, ARTIFACT.preprocess)
    found = from_bytes(artifact.data)
    assert found.classes is None
    assert found.provenance == {}


def test_every_artifact_says_what_its_classes_are_called(tmp_path):
    plain = make(classes=None)
    assert (plain.outputs, plain.class_names, plain.known_classes) == (3, ("0", "1", "2"), None)
    named = plain.with_classes(["ant", "bee", "cow"])
    assert (named.classes, named.class_names) == (("ant", "bee", "cow"),) * 2
    assert from_bytes(named.data).classes == named.classes
    (tmp_path / "names.txt").write_text("ant\nbee\ncow\n")
    assert plain.with_classes(tmp_path / "names.txt").data == named.data
    assert named.with_classes(None).data == plain.data


def test_names_in_another_order_are_matched_and_too_few_refused():
    assert make().with_classes(["eel", "Cat", "dog"]).classes == ("Cat", "dog", "eel")
    with pytest.raises(LabelError, match="each of the model's 3 classes, found 2"):
        make().with_classes(["a", "b"])


def test_names_may_be_any_text():
    renamed = {name: f'{name}/é "\\\n漢' for name in ("stem", "dw")}
    nodes = tuple(
        replace(n, name=renamed.get(n.name, n.name), inputs=tuple(renamed.get(i, i) for i in n.inputs))
        for n in ARTIFACT.graph.nodes
    )
    values = {renamed.get(name, name): v for name, v in ARTIFACT.graph.values.items()}
    artifact = Artifact(Graph(nodes, values, "logits"), ARTIFACT.preprocess, ("ça", "", "\x00"))
    same(from_bytes(artifact.data), artifact)


def test_the_file_is_safetensors_with_codes_and_float32_alone():
    assert {str(t.dtype) for t in stored().values()} == {"uint8", "float32"}
    assert set(HEADER["__metadata__"]) == {"bitwright"}
    assert DOCUMENT["format"] == bitwright.artifact.FORMAT == 2


# --- saving -----------------------------------------------------------------------------------------------------------


def test_save_writes_the_bytes_and_load_reads_them(tmp_path):
    path = tmp_path / "model.safetensors"
    ARTIFACT.save(path)
    assert path.read_bytes() == DATA
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]
    same(load(path), ARTIFACT)
    same(load(str(path)), ARTIFACT)


def test_save_replaces_an_older_file(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(b"old")
    ARTIFACT.save(str(path))
    assert path.read_bytes() == DATA


def test_a_saved_file_has_the_usual_permissions(tmp_path):
    ARTIFACT.save(tmp_path / "model")
    (tmp_path / "other").write_bytes(b"")
    assert (tmp_path / "model").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("function", ["replace", "fdopen", "fsync", "fchmod"])
def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, function):
    path = tmp_path / "model"
    path.write_bytes(b"old")

    def fail(*arguments: Any, **keywords: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(ArtifactError, match="No space left on device"):
        ARTIFACT.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "model"
    path.write_bytes(b"old")

    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        ARTIFACT.save(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_saving_where_that_cannot_be_done_is_an_error(tmp_path):
    with pytest.raises(ArtifactError, match="cannot write"):
        ARTIFACT.save(tmp_path / "no" / "folder" / "model")
    folder = tmp_path / "folder"
    (folder / "inside").mkdir(parents=True)
    with pytest.raises(ArtifactError, match="cannot write"):
        ARTIFACT.save(folder)
    assert list(tmp_path.iterdir()) == [folder]


# --- bytes that are not an artifact -----------------------------------------------------------------------------------


def test_a_missing_file_or_a_folder_is_an_error(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(ArtifactError, match=str(path)):
            load(path)


def test_load_names_the_file_that_is_damaged(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(DATA[:-1])
    with pytest.raises(ArtifactError, match=str(path)):
        load(path)


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"\0" * 8, b"\0" * 64, b"\xff" * 64, b"PK\3\4" + b"\0" * 40, b"{}", b"\x80\4."]
)
def test_other_bytes_are_refused(data):
    refuse(data, "not a safetensors file")


def test_a_file_cut_anywhere_is_refused():
    cuts = {0, 1, 7, 8, 9, len(DATA) - len(BODY) - 1, len(DATA) - len(BODY), len(DATA) - 1, *range(0, len(DATA), 97)}
    for cut in sorted(cuts):
        refuse(DATA[:cut])


def test_bytes_behind_the_end_are_refused():
    refuse(DATA + b"\0")
    refuse(DATA + DATA)


def test_random_byte_flips_are_refused_or_harmless():
    rng = np.random.default_rng(3)
    outcomes = []
    for _ in range(800):
        data = bytearray(DATA)
        for place in rng.integers(0, len(data), rng.choice([1, 1, 3])):
            data[place] ^= 1 << int(rng.integers(8))
        outcomes.append(refused_or_good(bytes(data)))
    assert {True, False} == set(outcomes)


def test_byte_flips_in_the_tensors_are_refused_or_harmless():
    rng = np.random.default_rng(4)
    outcomes = []
    for _ in range(400):
        data = bytearray(DATA)
        data[len(DATA) - 1 - int(rng.integers(len(BODY)))] ^= 1 << int(rng.integers(8))
        outcomes.append(refused_or_good(bytes(data)))
    assert {True, False} == set(outcomes)


def test_foreign_safetensors_are_refused():
    tensor = {"a": np.zeros(3, np.float32)}
    for metadata in (None, {}, {"format": "pt"}):
        refuse(safetensors.numpy.save(tensor, metadata), "not a bitwright artifact")
    refuse(safetensors.numpy.save({}, {"bitwright": "{}"}), "keys")


@pytest.mark.parametrize(
    "metadata", [None, {}, [], "bitwright", {"bitwright": None}, {"bitwright": {}}, {"bitwright": 1}]
)
def test_metadata_of_another_type_is_refused(metadata):
    refuse(with_header({**HEADER, "__metadata__": metadata}, BODY))


@pytest.mark.parametrize("header", [b"null", b"[]", b"1", b'"x"', b"{", b"\xff\xfe", b"{}", b'{"a":null}', b'{"a":{}}'])
def test_other_headers_are_refused(header):
    refuse(with_header(header, b""))
    refuse(with_header(header, BODY))


def test_other_dtypes_are_refused():
    for dtype in (np.float64, np.float16, np.int8, np.int64, np.bool_):
        refuse(with_tensors({**stored(), "logits/m": np.ones(1, dtype)}), "dtype|missing")
        refuse(with_tensors({**stored(), "other": np.ones(1, dtype)}), "dtype")


# --- JSON -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", "{", "nul", "{'format': 1}", "\ufeff{}", '{"format": 1,}', "[NaN]", "Infinity", "1" * 5000]
)
def test_text_that_is_not_json_is_refused(text):
    refuse(with_text(text))


@pytest.mark.parametrize("document", [None, 1, "x", [], {}, True, [DOCUMENT], {**DOCUMENT, "more": 1}], ids=range(8))
def test_json_of_another_shape_is_refused(document):
    refuse(with_document(document), "expected the keys")


@pytest.mark.parametrize("depth", [500, 5_000, 200_000])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_deep_nesting_is_refused_or_harmless(depth, brackets):
    opening = {"[]": "[", "{}": '{"a":'}[brackets]
    deep = opening * depth + "1" + brackets[1] * depth
    refuse(with_text(deep))
    text = json.dumps(DOCUMENT)
    for path in ('"provenance": {', '"classes": ', '"preprocess": ', '"attrs": {', '"nodes": ', '"shape": '):
        place = text.index(path) + len(path)
        entry = f'"deep": {deep}, ' if path.endswith("{") else f'{deep}, "x": '
        refused_or_good(with_text(text[:place] + entry + text[place:]))


def paths(record: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every leaf and every subtree."""
    yield path
    items = record.items() if isinstance(record, dict) else enumerate(record) if isinstance(record, list) else ()
    for key, child in items:
        yield from paths(child, (*path, key))


def replaced(record: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    changed = copy.copy(record)
    changed[path[0]] = replaced(record[path[0]], path[1:], by)
    return changed


def removed(record: Any, path: tuple[Any, ...]) -> Any:
    changed = copy.copy(record)
    if len(path) > 1:
        changed[path[0]] = removed(record[path[0]], path[1:])
    else:
        del changed[path[0]]
    return changed


def complaints(documents: Iterator[tuple[tuple[Any, ...], Any]]) -> list[str]:
    """What went wrong, of documents that ought to be refused with ArtifactError or to be good."""
    found = []
    for path, document in documents:
        try:
            refused_or_good(with_document(document))
        except Exception as error:  # noqa: BLE001 - any other is what this looks for
            found.append(f"{'/'.join(map(str, path))}: {type(error).__name__}: {error!s:.80}")
    return found


REPLACEMENTS: list[Any] = [None, True, -1, 0, 1, 256, 2**31, 10**400, 0.5, 1e308, 1e-320, "x", "input", "stem"]
REPLACEMENTS += [[], {}, [1], [1, 1], [0, 0, 0, 0], [None], {"a": 1}]


@pytest.mark.parametrize("by", REPLACEMENTS, ids=lambda v: f"{v!r:.12}")
def test_a_value_of_another_kind_anywhere_is_refused_or_harmless(by):
    assert complaints((path, replaced(DOCUMENT, path, by)) for path in paths(DOCUMENT)) == []


def test_a_number_past_float64_anywhere_is_refused_or_harmless():
    """1e400 is JSON, which Python reads as infinity, and which cannot be written again."""
    found = []
    for path in paths(DOCUMENT):
        text = json.dumps(replaced(DOCUMENT, path, "@@")).replace('"@@"', "1e400")
        try:
            refused_or_good(with_text(text))
        except Exception as error:  # noqa: BLE001 - any other is what this looks for
            found.append(f"{'/'.join(map(str, path))}: {type(error).__name__}: {error!s:.80}")
    assert found == []


def test_anything_left_out_is_refused_or_harmless():
    assert complaints((path, removed(DOCUMENT, path)) for path in paths(DOCUMENT) if path) == []


def test_anything_added_is_refused():
    for path in paths(DOCUMENT):
        target = DOCUMENT
        for key in path:
            target = target[key]
        if isinstance(target, dict) and path[:1] != ("provenance",):
            refuse(with_document(replaced(DOCUMENT, path, {**target, "colour": 1})))


def test_nodes_in_any_other_order_are_refused():
    nodes = DOCUMENT["graph"]["nodes"]
    for i in range(len(nodes) - 1):
        swapped = [*nodes[:i], nodes[i + 1], nodes[i], *nodes[i + 2 :]]
        independent = nodes[i]["name"] not in nodes[i + 1]["inputs"]
        assert refused_or_good(with_document(replaced(DOCUMENT, ("graph", "nodes"), swapped))) == independent


# --- contents that make no sense --------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", [0, 3, -1, "1", None, 1.5, [1]])
def test_another_format_is_refused(format_):
    refuse(edited(lambda d: d.update(format=format_)), "format 1 to 2")


def as_format_1(document):
    document["format"] = 1
    del document["graph"]["others"]
    for value in document["graph"]["values"].values():
        del value["channel"]


def test_format_1_is_read_and_has_its_channels_in_front():
    found = from_bytes(edited(as_format_1))
    assert found.data == ARTIFACT.data
    assert all(value.channel == 0 for value in found.graph.values.values())


@pytest.mark.parametrize("others", [None, [], {"features": "nowhere"}, {"features": "act"}, {"features": 3}])
def test_other_outputs_that_are_none_are_refused(others):
    refuse(edited(lambda d: d["graph"].update(others=others)), "output")


@pytest.mark.parametrize("channel", [-1, 3, "0", None, 0.0, True])
def test_a_channel_that_is_no_axis_is_refused(channel):
    refuse(edited(lambda d: d["graph"]["values"]["input"].update(channel=channel)))
    refuse(edited(lambda d: d["graph"]["values"]["logits"].update(channel=channel)))


@pytest.mark.parametrize("op", ["relu", "Conv2d", "", "__class__", "clamp", "silu"])
def test_an_unknown_op_is_refused(op):
    refuse(edited(lambda d: node(d, "act").update(op=op)), "unknown op")


@pytest.mark.parametrize("name", ["nowhere", "", "act", "logits", "flat"])
def test_an_input_that_no_earlier_node_computes_is_refused(name):
    refuse(edited(lambda d: node(d, "act").update(inputs=[name])), "no earlier node")


def test_a_cycle_is_refused():
    refuse(edited(lambda d: node(d, "dw").update(inputs=["stem", "sum"])), "no earlier node")


def test_two_nodes_of_one_name_are_refused():
    refuse(edited(lambda d: d["graph"]["nodes"].insert(2, copy.deepcopy(node(d, "pixels")))))
    refuse(edited(lambda d: d["graph"]["nodes"].append({**node(d, "half"), "inputs": ["both"]})), "exactly one node")


def test_a_node_called_input_is_refused():
    def edit(d):
        node(d, "half")["name"] = "input"
        node(d, "wide")["inputs"] = ["input"]
        del d["graph"]["values"]["half"]

    refuse(edited(edit), "exactly one node")


def test_a_value_without_a_node_and_a_node_without_a_value_are_refused():
    refuse(edited(lambda d: d["graph"]["values"].update(ghost=value(d, "act"))), "exactly one node")
    refuse(edited(lambda d: d["graph"]["values"].pop("act")), "exactly one node")
    refuse(edited(lambda d: d["graph"]["values"].pop("input")), "input")


@pytest.mark.parametrize("output", ["act", "input", "nowhere", "", "hidden", None, 3, ["logits"]])
def test_another_output_is_refused(output):
    refuse(edited(lambda d: d["graph"].update(output=output)), "output")


@pytest.mark.parametrize("scale", [0, 0.0, -0.0, -1.0, 1e-39, 1e-300, 5e-324, 3.5e38, 1e308])
@pytest.mark.parametrize("name", ["input", "act", "hidden"])
def test_a_scale_that_is_not_positive_finite_and_normal_is_refused(scale, name):
    scales = [scale, 1.0, 1.0] if name == "input" else scale
    refuse(edited(lambda d: value(d, name)["type"].update(scale=scales)), "scale")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400"])
def test_a_number_that_json_does_not_know_is_refused(number):
    text = json.dumps(replaced(DOCUMENT, ("graph", "values", "act", "type", "scale"), "@@"))
    refuse(with_text(text.replace('"@@"', number)))
    text = json.dumps(replaced(DOCUMENT, ("provenance", "accuracy"), "@@"))
    refuse(with_text(text.replace('"@@"', number)))


@pytest.mark.parametrize(
    ("name", "zero_point"), [("act", -1), ("act", 256), ("squeeze", 16), ("input", [0, 0, 256]), ("act", 10**30)]
)
def test_a_zero_point_that_is_not_a_code_is_refused(name, zero_point):
    refuse(edited(lambda d: value(d, name)["type"].update(zero_point=zero_point)), "zero point")


def bits_of(spec: str) -> Artifact:
    """A convolution that reads the planes of an encoder, and the logits."""
    rng, preprocess = np.random.default_rng(3), Preprocess(size=(HEIGHT, WIDTH), mean=(0.1, 0.6, 0.9), encoder=spec)
    planes = preprocess.codes_shape[0]
    zero = tuple(rng.integers(0, 2, planes).tolist())
    image = QType("bit", tuple(rng.uniform(0.1, 1, planes).tolist()), zero, (0.0,) * planes)
    values = {"input": Value(preprocess.codes_shape, image), "conv": Value((2, HEIGHT, WIDTH), U8)}
    values |= {"pool": Value((2, 1, 1), U8), "flat": Value((2,), U8), "logits": Value((2,))}
    attrs = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1, "weights": "int8", **BOUNDS}
    weight = rng.integers(-127, 128, (2, planes, 3, 3)).astype(np.int8)
    nodes = (
        Node("conv", "conv2d", ("input",), attrs, {"weight": weight, "m": f32(0.01, -0.02), "b": f32(100, 90)}),
        Node("pool", "global_avg_pool2d", ("conv",), {}, {"m": f32(0.03)}),
        Node("flat", "reshape", ("pool",), {"shape": (2,)}),
        Node("logits", "dequantize", ("flat",), {}, {"m": f32(0.05)}),
    )
    return Artifact(Graph(nodes, values, "logits"), preprocess)


@pytest.mark.parametrize("spec", ["threshold:otsu", "threshold:99", "dither", "bitplanes:8", "thermometer:5"])
def test_an_encoder_is_part_of_the_artifact(spec: str):
    artifact = bits_of(spec)
    again = from_bytes(artifact.data)
    assert (again.data, again.preprocess.encoder) == (artifact.data, spec)
    traces = [Engine(again, backend=backend).trace(IMAGES) for backend in ("native", "reference")]
    for name, codes in traces[0].items():
        assert codes.tobytes() == traces[1][name].tobytes(), name
    assert set(np.unique(traces[0]["input"])) == {0, 1}
    assert Engine(again)(IMAGES).tobytes() == traces[0]["logits"].tobytes()
    with pytest.raises(EngineError, match="expected uint8 images"):
        Engine(again)(traces[0]["input"])


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda d: d["preprocess"].update(encoder="thermometer:6"), "input"),
        (lambda d: d["preprocess"].update(encoder="bitplanes:9"), "a whole number in 1..8"),
        (lambda d: d["preprocess"].update(encoder="morse"), "encoder must be one of"),
        (lambda d: d["preprocess"].update(encoder=None), "encoder must be text"),
        (lambda d: d["preprocess"].update(encoder={"name": "thermometer"}), "encoder must be text"),
        (lambda d: d["preprocess"].update(encoder="thermometer:" + "9" * 5000), "a whole number in 1..255"),
        (lambda d: d["preprocess"].pop("encoder"), "input"),
        (lambda d: value(d, "input")["type"].update(scheme="uint8"), "expected an input of bit"),
        (lambda d: value(d, "input")["type"]["zero_point"].__setitem__(0, 2), "zero point 2"),
        (lambda d: value(d, "input")["type"]["scale"].__setitem__(0, 0.0), "scale"),
        (lambda d: value(d, "input")["type"]["offset"].pop(), "offsets"),
    ],
)
def test_an_encoder_that_does_not_fit_is_refused(edit: Callable[[Any], object], match: str):
    header, body = header_and_body(bits_of("thermometer:5").data)
    document = json.loads(header["__metadata__"]["bitwright"])
    edit(document)
    with pytest.raises(ArtifactError, match=match):
        from_bytes(with_header({"__metadata__": {"bitwright": json.dumps(document)}, **rest(header)}, body))


def rest(header: dict[str, Any]) -> dict[str, Any]:
    return {key: entry for key, entry in header.items() if key != "__metadata__"}


def test_pixels_do_not_fit_an_encoder():
    refuse(edited(lambda d: d["preprocess"].update(encoder="threshold:128")), "expected an input of bit")


def test_the_image_must_be_what_the_preprocessing_gives():
    refuse(edited(lambda d: d["preprocess"].update(size=[HEIGHT, WIDTH + 1], resize=None)), "input")
    refuse(edited(lambda d: d["preprocess"].update(mode="L", mean=[0.0], std=[1.0])), "input")
    refuse(edited(lambda d: value(d, "input").update(type=DOCUMENT["graph"]["values"]["act"]["type"])), "per channel")
    refuse(edited(lambda d: value(d, "input")["type"].update(scheme="uint4", zero_point=[0, 0, 0])), "uint8")


def test_only_the_image_has_a_zero_point_per_channel():
    """Every other value has one scale and one zero point, says the contract; backends need not read more."""
    many = {"scheme": "uint8", "scale": [0.1] * 4, "zero_point": [1, 2, 3, 4], "offset": [0.0] * 4}
    refuse(edited(lambda d: value(d, "stem").update(type=many)))
    refuse(edited(lambda d: value(d, "excite").update(type=many)))
    pixels = {"scheme": "uint8", "scale": [0.1] * 3, "zero_point": [1, 2, 3], "offset": [0.0] * 3}
    refuse(edited(lambda d: value(d, "pixels").update(type=pixels)))


@pytest.mark.parametrize("name", sorted(stored()))
def test_a_missing_tensor_is_refused(name):
    refuse(with_tensors({k: t for k, t in stored().items() if k != name}), f"{name} is missing")
    owner, key = name.split("/")
    document = copy.deepcopy(DOCUMENT)
    del node(document, owner)["tensors"][key]
    refuse(with_document(document))
    refuse(with_tensors({k: t for k, t in stored().items() if k != name}, document))


def test_an_extra_tensor_is_refused():
    for name in ("other", "act/other", "__proto__", ""):
        refuse(with_tensors({**stored(), name: np.zeros(3, np.float32)}), "no node uses")


def test_a_tensor_of_another_shape_is_refused():
    for name, tensor in stored().items():
        refuse(with_tensors({**stored(), name: np.concatenate([tensor, tensor])}))
        refuse(with_tensors({**stored(), name: tensor[None]}))
        refuse(with_tensors({**stored(), name: tensor[:0]}))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e-40, -1e-45], ids=str)
def test_a_float_that_is_not_finite_and_normal_is_refused(number):
    for name, tensor in stored().items():
        if tensor.dtype == np.float32:
            damaged = tensor.copy()
            damaged.flat[-1] = number
            refuse(with_tensors({**stored(), name: damaged}), "not finite|not normal")


@pytest.mark.parametrize("weights", SIGNED)
def test_a_weight_code_below_its_scheme_is_refused(weights):
    bits = int(weights[3:])
    good = make(weights).data
    tensors = safetensors.numpy.load(good)
    packed = np.zeros_like(tensors["dw/weight"])
    packed[(bits - 1) // 8] = 1 << (bits - 1)  # the sign bit alone, in the first code
    document = json.loads(header_and_body(good)[0]["__metadata__"]["bitwright"])
    refuse(with_tensors({**tensors, "dw/weight": packed}, document), "below the least")


def test_weights_of_another_width_than_said_are_refused():
    for scheme in ("int8", "int4", "uint5", "uint8", "float32", "", None, 5, ["int5"]):
        document = copy.deepcopy(DOCUMENT)
        node(document, "dw")["attrs"]["weights"] = scheme
        refuse(with_document(document))


@pytest.mark.parametrize(
    "shape", [[2**31], [2**62, 2**62], [1] * 9, [2**28 + 1], [2**14, 2**14, 2], [10**400], [0], [-1], [], [1.0], [True]]
)
def test_enormous_and_impossible_shapes_are_refused_without_allocating(shape):
    documents = [
        edited(lambda d: value(d, "act").update(shape=shape)),
        edited(lambda d: value(d, "input").update(shape=shape)),
        edited(lambda d: node(d, "dw")["tensors"].update(weight=shape)),
        edited(lambda d: node(d, "act")["tensors"].update(table=shape)),
        edited(lambda d: node(d, "flat")["attrs"].update(shape=shape)),
    ]

    def refuse_all() -> None:
        for data in documents:
            refuse(data)

    assert peak_bytes(refuse_all) < 20 * len(DATA) + 2**20


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def grey(nodes: list[tuple[Any, ...]], size: tuple[int, int]) -> bytes:
    """A model of one channel from (name, op, inputs, attrs, tensors, shape) rows; the last one is the output.

    It is built without the check that an Artifact makes, so that from_bytes makes it.
    """
    one = {"scheme": "uint8", "scale": 1.0, "zero_point": 0}
    image = {"scheme": "uint8", "scale": [1.0], "zero_point": [0], "offset": [0.0]}
    values: dict[str, Any] = {"input": {"shape": [1, *size], "type": image, "channel": 0}}
    records: list[Any] = []
    tensors: dict[str, np.ndarray] = {}
    for name, op, inputs, attrs, parts, shape in nodes:
        values[name] = {"shape": list(shape), "type": None if name == nodes[-1][0] else one, "channel": 0}
        shapes = {key: list(t.shape) for key, t in parts.items()}
        records.append({"name": name, "op": op, "inputs": inputs, "attrs": attrs, "tensors": shapes, "origin": ""})
        tensors |= {f"{name}/{key}": t.reshape(-1) if key == "weight" else t for key, t in parts.items()}
    document = {
        "format": 2,
        "graph": {"output": nodes[-1][0], "others": {}, "values": values, "nodes": records},
        "preprocess": Preprocess(size=size, mode="L").to_json(),
        "classes": None,
        "provenance": {},
    }
    return with_tensors(tensors, document)


CODES: tuple[Any, ...] = ("codes", "table", ["input"], {}, {"table": np.zeros((1, 256), np.uint8)})


def last(name: str, shape: tuple[int, ...]) -> list[tuple[Any, ...]]:
    """Rows that end a model: the mean of the value `name`, as logits."""
    return [
        ("mean", "global_avg_pool2d", [name], {}, {"m": f32(1)}, (shape[0], 1, 1)),
        ("flat", "reshape", ["mean"], {"shape": [shape[0]]}, {}, (shape[0],)),
        ("logits", "dequantize", ["flat"], {}, {"m": f32(1)}, (shape[0],)),
    ]


def test_checking_a_max_pool_takes_no_memory_per_window_and_tap():
    data = grey(
        [
            (*CODES, (1, 64, 128)),
            ("row", "reshape", ["codes"], {"shape": [1, 8192, 1]}, {}, (1, 8192, 1)),
            (
                "top",
                "max_pool2d",
                ["row"],
                {"kernel": [2048, 1], "stride": [1, 1], "padding": [0] * 4, "dilation": [1, 1]},
                {},
                (1, 6145, 1),
            ),
            *last("top", (1, 1, 1)),
        ],
        (64, 128),
    )
    assert peak_bytes(lambda: read(data)) < 16 * 2**20


def read(data: bytes) -> Artifact | None:
    try:
        return from_bytes(data)
    except ArtifactError:
        return None


def test_padding_that_would_claim_all_memory_is_refused():
    """Every value is small, and so is the file; between them stands a padded plane for each of 65536 channels."""
    channels, side = 2**16, 8191
    rows = [
        (*CODES, (1, 256, 256)),
        ("deep", "reshape", ["codes"], {"shape": [channels, 1, 1]}, {}, (channels, 1, 1)),
        (
            "pool",
            "avg_pool2d",
            ["deep"],
            {"kernel": [1, 1], "stride": [2**15, 2**15], "padding": [side, side, 0, 0]},
            {"m": f32(1).reshape(1, 1)},
            (channels, 1, 1),
        ),
        *last("pool", (channels, 1, 1)),
    ]
    refuse(grey(rows, (256, 256)))


def test_a_convolution_whose_windows_would_claim_all_memory_is_refused():
    """128 x 128 taps over 2048 x 2048 windows: 2**36 numbers, from a weight of 16 KiB."""
    side, kernel = 2048, 128
    weight = np.zeros((1, 1, kernel, kernel), np.uint8)
    attrs = {
        "stride": [1, 1],
        "padding": [64, 64, 63, 63],
        "dilation": [1, 1],
        "groups": 1,
        "weights": "int8",
        "lo": 0,
        "hi": 255,
    }
    rows = [
        ("conv", "conv2d", ["input"], attrs, {"weight": weight, "m": f32(1), "b": f32(0)}, (1, side, side)),
        *last("conv", (1, 1, 1)),
    ]
    refuse(grey(rows, (side, side)))


def test_an_overflowing_layer_is_refused():
    inputs = (2**31 - 1) // (127 * 255) + 1
    rows = [
        (*CODES, (1, 1, inputs)),
        ("flat", "reshape", ["codes"], {"shape": [inputs]}, {}, (inputs,)),
        (
            "wide",
            "linear",
            ["flat"],
            {"weights": "int8", "lo": 0, "hi": 255},
            {"weight": np.full((1, inputs), 127, np.uint8), "m": f32(1), "b": f32(0)},
            (1,),
        ),
    ]
    refuse(grey(rows, (1, inputs)), "accumulator")
    for row in (0, 1):
        rows[row] = (*rows[row][:5], (*rows[row][5][:-1], inputs - 1))
    rows[1][3]["shape"] = [inputs - 1]
    rows[2][4]["weight"] = rows[2][4]["weight"][:, 1:]
    assert refused_or_good(grey(rows, (1, inputs - 1)))


@pytest.mark.parametrize(
    "classes", [[], ["cat"], ["cat", "dog"], ["a"] * 4, "cat", ["a", "b", 3], [None] * 3, {"a": 1, "b": 2, "c": 3}, 3]
)
def test_class_names_that_do_not_fit_are_refused(classes):
    refuse(edited(lambda d: d.update(classes=classes)), "class names")


@pytest.mark.parametrize("provenance", [None, [], "x", 1, True])
def test_provenance_of_another_type_is_refused(provenance):
    refuse(edited(lambda d: d.update(provenance=provenance)), "provenance")


def test_too_many_nodes_are_refused(monkeypatch):
    monkeypatch.setattr(bitwright.artifact, "MAX_NODES", len(ARTIFACT.graph.nodes) - 1)
    refuse(DATA, "at most")


def test_values_of_one_type_share_it_so_that_many_values_are_cheap():
    types = {name: value.type for name, value in from_bytes(DATA).graph.values.items()}
    assert types["stem"] == U8
    assert types["stem"] is types["dw"] is types["flat"]
    assert types["squeeze"] is not types["stem"]


def test_a_negative_zero_stays_one_whatever_was_read_before():
    types = [value(json.loads(json.dumps(DOCUMENT)), "input")["type"] for _ in range(2)]
    types[0]["offset"], types[1]["offset"] = [0.0] * 3, [-0.0] * 3
    signs = [[math.copysign(1, o) for o in QType.from_json(type_, "input").offset] for type_ in types]
    assert signs == [[1] * 3, [-1] * 3]


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("data", [DATA, DATA[:-1]])
def test_the_garbage_collector_is_as_it_was_after_reading(running, data):
    (gc.enable if running else gc.disable)()
    try:
        refused_or_good(data)
        assert gc.isenabled() is running
    finally:
        gc.enable()


# --- artifacts made in memory -----------------------------------------------------------------------------------------


def test_an_inconsistent_graph_cannot_become_an_artifact():
    with pytest.raises(GraphError, match="exactly one node"):
        Artifact(replace(ARTIFACT.graph, nodes=ARTIFACT.graph.nodes[1:]), ARTIFACT.preprocess)
    with pytest.raises(GraphError, match="output"):
        Artifact(replace(ARTIFACT.graph, output="act"), ARTIFACT.preprocess)
    with pytest.raises(ArtifactError, match="3 outputs, but 2 class names"):
        Artifact(ARTIFACT.graph, ARTIFACT.preprocess, ("cat", "dog"))


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_provenance_that_json_cannot_hold_is_an_artifact_error(number, tmp_path):
    path = tmp_path / "model"
    with pytest.raises(ArtifactError):
        replace(ARTIFACT, provenance={"accuracy": number}).save(path)
    assert not path.exists()


def test_a_pickle_is_refused_and_never_run(tmp_path):
    ran = tmp_path / "ran"
    payload = f"cos\nsystem\n(S'touch {ran}'\ntR.".encode()
    path = tmp_path / "model"
    path.write_bytes(payload)
    with pytest.raises(ArtifactError):
        load(path)
    assert not ran.exists()
