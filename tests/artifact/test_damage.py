"""Bytes that are no artifact, or a damaged one, are refused: ArtifactError says so."""

import numpy as np
import pytest
import safetensors.numpy

from tests.artifact.sample import BODY, DATA, HEADER, refuse, refused_or_good, stored, with_header, with_tensors


@pytest.mark.parametrize("data", [b"\0", b"\0" * 8, b"\0" * 64, b"\xff" * 64, b"{}"])
def test_other_bytes_are_refused(data):
    refuse(data, "not a safetensors file")


@pytest.mark.parametrize(
    ("data", "kind"), [(b"", "an empty file"), (b"PK\3\4" + b"\0" * 40, "a zip file"), (b"\x80\4.", "a checkpoint")]
)
def test_bytes_of_another_kind_are_refused_by_its_name(data, kind):
    refuse(data, kind)


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
