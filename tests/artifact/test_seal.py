"""The digest of an artifact's contents: whatever changes in a file is found, and files without one are read as before."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from bitwright.artifact import from_bytes
from bitwright.errors import ArtifactError
from tests.artifact.sample import (
    ARTIFACT,
    DATA,
    DOCUMENT,
    header_and_body,
    make,
    refuse,
    same,
    with_document,
    with_text,
)

SEALED = ARTIFACT.data
SIZE = 8 + int.from_bytes(SEALED[:8], "little")
"""Of the header; the tensors follow."""


def changed(place: int, byte: int) -> bytes:
    return SEALED[:place] + bytes([byte]) + SEALED[place + 1 :]


def test_the_digest_is_of_the_file_with_zeros_in_its_place():
    header, _ = header_and_body(SEALED)
    said = json.loads(header["__metadata__"]["bitwright"])["provenance"]["sha256"]
    assert hashlib.sha256(SEALED.replace(said.encode(), b"0" * 64)).hexdigest() == said
    assert "sha256" not in from_bytes(SEALED).provenance
    assert make("int5", provenance={**ARTIFACT.provenance, "sha256": "mine"}).data == SEALED


def test_a_file_without_a_digest_is_read_and_gets_one_when_it_is_written():
    same(from_bytes(DATA), ARTIFACT)
    assert replace(from_bytes(DATA)).data == SEALED


def test_every_flipped_bit_of_the_tensors_is_found():
    for place in range(SIZE, len(SEALED)):
        refuse(changed(place, SEALED[place] ^ 1 << place % 8), "has changed since it was written")


def test_any_other_byte_of_the_header_is_refused_or_takes_only_the_digest_away():
    rng = np.random.default_rng(0)
    taken_away = set()
    for place in range(SIZE):
        try:
            found = from_bytes(changed(place, SEALED[place] ^ int(rng.integers(1, 256))))
        except ArtifactError:
            continue
        taken_away.add(place)
        same(replace(found, provenance=ARTIFACT.provenance), ARTIFACT)
    key = SEALED.rindex(b"sha256", 0, SIZE)
    assert taken_away <= set(range(key, key + 6))


@pytest.mark.parametrize("said", [1, None, "", "0" * 63, "0" * 64, ["a"], {}])
def test_another_digest_is_refused(said):
    provenance = {**DOCUMENT["provenance"], "sha256": said}
    text = json.dumps({**DOCUMENT, "provenance": provenance}, separators=(",", ":"))
    if said is None:
        same(from_bytes(with_text(text)), ARTIFACT)
    else:
        refuse(with_text(text), "has changed since it was written|expected a SHA-256 at the end")


def test_a_digest_elsewhere_than_at_the_end_is_refused():
    digest = json.loads(header_and_body(SEALED)[0]["__metadata__"]["bitwright"])["provenance"]["sha256"]
    refuse(
        with_document({**DOCUMENT, "provenance": {"sha256": digest, **DOCUMENT["provenance"]}}),
        "at the end of the prov",
    )


@pytest.mark.parametrize("path", ["format", "graph", "provenance"])
def test_a_key_that_stands_twice_is_refused(path):
    text = json.dumps(DOCUMENT)
    twice = f'"{path}": {json.dumps(DOCUMENT[path])}, "{path}":'
    refuse(with_text(text.replace(f'"{path}":', twice, 1)), "stands twice|is missing")


def test_a_key_that_stands_twice_deep_inside_or_in_the_header_is_refused():
    text = json.dumps(DOCUMENT)
    refuse(with_text(text.replace('"op":', '"op": "relu", "op":', 1)), "stands twice")
    header = json.dumps(header_and_body(DATA)[0]).replace('"logits/m":', '"logits/m": {}, "logits/m":').encode()
    refuse(len(header).to_bytes(8, "little") + header + header_and_body(DATA)[1])
