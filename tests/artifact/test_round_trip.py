"""What is written is read back, to the byte, and the same contents give the same bytes."""

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy

import bitwright.artifact_file.writing
from bitwright.artifact import Artifact, from_bytes
from bitwright.artifact_file.reading import FORMAT
from bitwright.engine import Engine
from bitwright.errors import LabelError
from bitwright.graph import Graph
from bitwright.ops import INTEGER_OPS
from bitwright.schemes import SCHEMES
from tests.artifact.sample import ARTIFACT, DOCUMENT, HEADER, IMAGES, SIGNED, WEIGHTS, make, same, stored


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
    assert make("int5").data == ARTIFACT.data
    assert make("int4").data != ARTIFACT.data
    assert make("int5", provenance={"recipe": "w5a8"}).data != ARTIFACT.data
    assert make("int5", classes=("cat", "dog", "fox")).data != ARTIFACT.data


def test_the_layout_of_tensors_in_memory_does_not_matter():
    nodes = tuple(
        replace(n, tensors={k: np.asfortranarray(t) for k, t in reversed(list(n.tensors.items()))})
        for n in ARTIFACT.graph.nodes
    )
    assert any(not t.flags.c_contiguous for n in nodes for t in n.tensors.values())
    artifact = replace(ARTIFACT, graph=replace(ARTIFACT.graph, nodes=nodes))
    assert artifact.data == ARTIFACT.data


def test_an_artifact_prints_as_a_line(monkeypatch):
    bare = Artifact(ARTIFACT.graph, ARTIFACT.preprocess)
    assert repr(bare) == (
        f"Artifact({len(bare.graph.nodes)} layers, no recipe, {len(bare.class_names)} classes, {len(bare.data):,} bytes)"
    )
    assert "w5a8" in repr(replace(bare, provenance={"recipe": {"name": "w5a8"}}))
    monkeypatch.setattr(bitwright.artifact_file.writing, "MAX_TENSORS", 1)
    assert "no file: a file may have 1 tensors at most" in repr(replace(bare))


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
    assert make().with_classes(None).with_classes(["eel", "Cat", "dog"]).classes == ("eel", "Cat", "dog")
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
    assert DOCUMENT["format"] == FORMAT == 2
