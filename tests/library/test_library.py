"""The C library reads what Python reads, refuses what Python refuses, and gives the bytes of Python's engine."""

import json
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bench.mutated import _artifact, _bytes
from bitwright.artifact import Artifact, from_bytes
from bitwright.engine import Engine
from bitwright.errors import BitwrightError
from bitwright.images.preprocess import Preprocess
from tests import pinned
from tests.artifact import sample
from tests.conformance.test_encoders import SPECS
from tests.engine.test_encoders import network
from tests.library.library import Library


@pytest.fixture(scope="module")
def library() -> Library:
    return Library()


def agree(library: Library, made: Artifact) -> None:
    images = pinned.images("library", made.preprocess.shape)
    with library.open(made.data) as model:
        assert (model.shape, model.mode) == (made.preprocess.shape, made.preprocess.mode)
        assert (model.logits, model.class_names) == (made.outputs, made.class_names)
        assert model.run(images).tobytes() == Engine(made, threads=1)(images).tobytes()
        assert model.run(images[:0]).shape == (0, made.outputs)


@pytest.mark.parametrize("name", pinned.NAMES)
def test_pinned_networks_have_the_bytes_of_python(library: Library, name: str) -> None:
    agree(library, pinned.artifact(name))


@pytest.mark.parametrize("weights", sample.WEIGHTS)
def test_every_op_and_scheme_of_weights_is_read(library: Library, weights: str) -> None:
    agree(library, sample.make(weights))


@pytest.mark.parametrize("spec", SPECS)
def test_every_encoder_is_read(library: Library, spec: str) -> None:
    pre = Preprocess(size=(5, 7), encoder=spec)
    assert pre.bits is not None
    agree(library, Artifact(network(pre.bits, 3, (5, 7)), pre))


def test_names_of_classes(library: Library) -> None:
    for names in (None, ("Katze", "犬", 'a "b"\\\n')):
        made = sample.make(classes=names)
        with library.open(made.data) as model:
            assert model.class_names == made.class_names


def without_digest(whole: bytes) -> tuple[bytes, bytes]:
    """Header and body of a file whose digest would hide all else that is wrong with it."""
    end = 8 + int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8:end])
    document = json.loads(header["__metadata__"]["bitwright"])
    document["provenance"].pop("sha256")
    header["__metadata__"]["bitwright"] = json.dumps(document)
    return json.dumps(header).encode(), whole[end:]


def mutant(whole: bytes, rng: random.Random) -> bytes:
    """One whose document, or whose bytes in the header or behind it, are drawn anew."""
    kind = rng.randrange(4)
    if kind < 2:
        return _artifact(whole, rng)
    header, body = without_digest(whole)
    header, body = (_bytes(bytearray(header), rng), body) if kind == 2 else (header, _bytes(bytearray(body), rng))
    return len(header).to_bytes(8, "little") + header + body


def test_what_python_refuses_is_refused(library: Library) -> None:
    """The library may refuse more: whole numbers beyond 64 bits, nesting beyond 200. No mutant here is of that kind."""
    wholes = [sample.make(weights).data for weights in ("int8", "int3", "binary", "ternary", "bit")]
    outcomes: Counter[bool] = Counter()
    for seed in range(300):
        data = mutant(wholes[seed % len(wholes)], random.Random(seed))
        try:
            from_bytes(data)
            refused = ""
        except BitwrightError as error:
            refused = str(error)
        try:
            library.open(data).__exit__(None, None, None)
            also = ""
        except ValueError as error:
            also = str(error)
        assert bool(refused) == bool(also), (seed, refused, also)
        outcomes[bool(refused)] += 1
    assert min(outcomes[True], outcomes[False]) > 30


def test_errors_are_said(library: Library, tmp_path: Path) -> None:
    good = sample.make().data
    for data, said in (
        (b"", "not a safetensors file"),
        (good[:-1], "not a safetensors file"),
        (good[:-1] + bytes([good[-1] ^ 1]), "the file has changed"),
    ):
        with pytest.raises(ValueError, match=said):
            library.open(data)
    with pytest.raises(ValueError, match="cannot read"):
        library.open(tmp_path / "none")
    with pytest.raises(ValueError, match="cannot read"):
        library.open(tmp_path)
    with pytest.raises(ValueError, match="threads"):
        library.open(good, threads=-1)


def test_many_threads_call_one_model(library: Library) -> None:
    made = pinned.artifact("slim")
    images = pinned.images("slim", made.preprocess.shape)
    expected = Engine(made, threads=1)(images)
    with library.open(made.data, threads=2) as model, ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: model.run(images), range(40)):
            np.testing.assert_array_equal(found, expected)
