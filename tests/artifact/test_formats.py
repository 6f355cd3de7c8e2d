"""Formats that were written once are read for ever: the artifacts of examples/cifar10 were stored by 0.1.0, in format 1."""

import hashlib
import json
from dataclasses import replace

import pytest

import bitwright as bw
from bitwright.artifact import from_bytes
from bitwright.artifact_file.reading import FORMAT
from bitwright.comparison import compare
from bitwright.gates.gates import Gate, Gates
from bitwright.gates.judge import judge
from tests.conftest import REPOSITORY

STORED = sorted((REPOSITORY / "examples" / "cifar10").glob("*.bw.safetensors"))


@pytest.mark.parametrize("file", STORED, ids=lambda file: file.name)
def test_stored_files_of_format_1_are_read(file, tmp_path):
    """Their logits are in tests/pinned.json, for this library and for the C one (tests/library)."""
    data = file.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    document = json.loads(header["__metadata__"]["bitwright"])
    assert document["format"] == 1, "write new files beside these: they are the ones that show that format 1 is read"
    assert document["provenance"]["versions"]["bitwright"] == "0.1.0"
    renewed = tmp_path / "renewed"
    bw.load(file).save(renewed)
    again = renewed.read_bytes()
    written = json.loads(json.loads(again[8 : 8 + int.from_bytes(again[:8], "little")])["__metadata__"]["bitwright"])
    assert written["format"] == FORMAT > 1


@pytest.mark.parametrize("file", STORED[:1], ids=lambda file: file.name)
def test_what_is_said_of_a_file_that_was_read_is_that_files(file):
    """Its size and digest are those of `ls` and `sha256sum`, though `save` would write others; a changed model has its own."""
    data, read = file.read_bytes(), bw.load(file)
    assert read.data == data
    assert read.digest == hashlib.sha256(data).hexdigest()
    gates = Gates((Gate("max_bytes", len(data)),), "gates")
    assert judge(gates, read, path=str(file)).passed
    assert compare(read, read, timed=False).first.bytes == len(data)
    changed = replace(read, provenance={})
    assert changed.data != data
    assert from_bytes(changed.data).data == changed.data


def test_there_are_some():
    assert len(STORED) >= 5
