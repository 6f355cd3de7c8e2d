"""Formats that were written once are read for ever: the artifacts of examples/cifar10 were stored by 0.1.0, in format 1."""

import json

import pytest

import bitwright as bw
from bitwright.artifact_file.writing import FORMAT
from tests.conftest import REPOSITORY

STORED = sorted((REPOSITORY / "examples" / "cifar10").glob("*.bw.safetensors"))


@pytest.mark.parametrize("file", STORED, ids=lambda file: file.name)
def test_stored_files_of_format_1_are_read(file):
    """Their logits are in tests/pinned.json, for this library and for the C one (tests/library)."""
    data = file.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    document = json.loads(header["__metadata__"]["bitwright"])
    assert document["format"] == 1, "write new files beside these: they are the ones that show that format 1 is read"
    assert document["provenance"]["versions"]["bitwright"] == "0.1.0"
    again = bw.load(file)
    written = json.loads(
        json.loads(again.data[8 : 8 + int.from_bytes(again.data[:8], "little")])["__metadata__"]["bitwright"]
    )
    assert written["format"] == FORMAT > 1


def test_there_are_some():
    assert len(STORED) >= 5
