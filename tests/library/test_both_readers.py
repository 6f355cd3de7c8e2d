"""Whatever can be saved is read back the same, by Python and by the C library; whatever one of them refuses, both refuse."""

import json
from dataclasses import replace
from typing import Any

import pytest

from bench.both_readers import bases, mutant, read_by_both
from bench.hostile_headers import with_length
from bitwright.artifact import Artifact, from_bytes
from bitwright.artifact_file.limits import MAX_DEPTH, MAX_KEYS, MAX_PART, SMALL_HEADER_BYTES
from bitwright.errors import ArtifactError, GraphError, PreprocessError
from bitwright.ops import INTEGER_OPS
from tests.artifact.sample import BODY, DOCUMENT, HEADER, make, same, with_document
from tests.library.library import Library

pytest.importorskip("hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as st

SMALL = make("int4", without=tuple(INTEGER_OPS))
SEAL = '"sha256":"'
TEXTS = st.text(st.characters(codec=None, categories=None), max_size=6) | st.sampled_from(
    [SEAL, SEAL + "0" * 64 + '"}}', "\0", "\x1f" * 3, "\ud800", "a\\u0041", "é" * 70_000, "x" * MAX_PART]
)
LEAVES = (
    *(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS, st.binary(max_size=2)),
    *(st.integers(2**63 - 2, 2**64), st.builds(lambda: 10**4300)),
)
DATA = st.recursive(
    st.one_of(LEAVES),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(TEXTS | st.integers(0, 2), inner, max_size=3)
        | st.tuples(inner, st.integers(190, 205)).map(lambda deep: nested(*deep))
        | st.frozensets(st.integers(), max_size=2)
    ),
    max_leaves=5,
)
SIZES = st.sampled_from([None, 8, 50_000_000, 50_000_001, 2**63 - 1, 2**63, True, (8, 8)])


def nested(inner: Any, depth: int) -> Any:
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.fixture(scope="module")
def library() -> Library:
    return Library()


def renamed(artifact: Artifact, name: str, by: str, origin: str) -> Artifact:
    graph = artifact.graph
    nodes = tuple(
        replace(
            node,
            name=by if node.name == name else node.name,
            inputs=tuple(by if i == name else i for i in node.inputs),
            origin=origin,
        )
        for node in graph.nodes
    )
    values = {by if key == name else key: value for key, value in graph.values.items()}
    return replace(artifact, graph=replace(graph, nodes=nodes, values=values))


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(
    provenance=st.dictionaries(TEXTS | st.integers(0, 2), DATA, max_size=3),
    name=TEXTS,
    origin=TEXTS,
    resize=SIZES,
    classes=st.none() | st.tuples(TEXTS, TEXTS, TEXTS),
)
def test_what_can_be_saved_is_read_back_the_same(
    library: Library, tmp_path_factory: Any, provenance: Any, name: str, origin: str, resize: Any, classes: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "m.bw.safetensors"
    path.unlink(missing_ok=True)
    try:
        preprocess = replace(SMALL.preprocess, resize=resize)
        made = replace(
            renamed(SMALL, "stem", name, origin), provenance=provenance, classes=classes, preprocess=preprocess
        )
        made.save(path)
    except (ArtifactError, GraphError, PreprocessError) as error:
        assert str(error)
        assert not path.exists()
        return
    data = path.read_bytes()
    assert read_by_both(data, library) == "taken"
    told = {key: value for key, value in provenance.items() if key != "sha256"}
    same(from_bytes(data), replace(made, provenance=json.loads(json.dumps(told))))


def test_a_layer_may_be_called_as_the_seal_is_spelled_and_by_control_characters(library: Library) -> None:
    """In a header of any length: of what is escaped by its number only what is beyond ASCII takes more memory."""
    named = renamed(SMALL, "stem", f"{SEAL}\x01", "\x1f")
    assert read_by_both(named.data, library) == "taken"
    long = replace(named, classes=tuple("x" * 200_000 + f"{i}" for i in range(3)), provenance={"a": SEAL * 10_000})
    long = replace(long, graph=replace(long.graph, others={"\x02" * 1000 + f"{i}": "logits" for i in range(60)}))
    for artifact in (long, replace(long, classes=tuple("x" * 250_000 + f"{i}" for i in range(3)))):
        size = int.from_bytes(artifact.data[:8], "little")
        assert size > SMALL_HEADER_BYTES
        assert read_by_both(artifact.data, library) == "taken"


def header_with(metadata: dict[str, str]) -> bytes:
    whole = {**HEADER, "__metadata__": {"bitwright": json.dumps(DOCUMENT), **metadata}}
    return with_length(json.dumps(whole).encode()) + BODY


def value_with(name: str, **changes: Any) -> bytes:
    values = DOCUMENT["graph"]["values"]
    changed = {**values[name], "type": {**values[name]["type"], **changes}}
    return with_document({**DOCUMENT, "graph": {**DOCUMENT["graph"], "values": {**values, name: changed}}})


def preprocess_with(**changes: Any) -> bytes:
    return with_document({**DOCUMENT, "preprocess": {**DOCUMENT["preprocess"], **changes}})


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        (value_with("input", offset=[-(2**63), 0, 0]), "taken"),
        (value_with("input", offset=[-(2**63) - 1, 0, 0]), "refused"),
        (value_with("input", offset=[2**63, 0, 0]), "refused"),
        (preprocess_with(background=[0, 0, 1]), "taken"),
        (preprocess_with(background=[0, 0, True]), "refused"),
        (preprocess_with(mean=[0, 0, 2**63 - 1]), "taken"),
        (preprocess_with(mean=[0, 0, 2**63]), "refused"),
        (preprocess_with(resize=50_000_000), "taken"),
        (preprocess_with(resize=50_000_001), "refused"),
        (header_with({f"{i:x}": "" for i in range(MAX_KEYS - 1)}), "taken"),
        (header_with({f"{i:x}": "" for i in range(MAX_KEYS)}), "refused"),
        *(
            (with_document({**DOCUMENT, "provenance": {"a": nested(inner, depth)}}), outcome)
            for inner, most in (([], MAX_DEPTH - 3), (1, MAX_DEPTH - 3))
            for depth, outcome in ((most, "taken"), (most + 1, "refused"))
        ),
        (header_with({"a": 'b"sha256":"' + "0" * 64 + '"}}'}), "taken"),
    ],
    ids=range(16),
)
def test_at_their_limits_both_readers_are_one(library: Library, data: bytes, outcome: str) -> None:
    assert read_by_both(data, library) == outcome


def test_mutated_headers_are_taken_by_both_or_by_none(library: Library) -> None:
    from_ = bases()
    found = [read_by_both(mutant(number, from_), library) for number in range(800)]
    assert {*found} == {"taken", "refused"}
