"""The reader of the container beside the safetensors library's own: it takes no more, and gives the same."""

import json
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import bitwright as bw
from bitwright.artifact_file.container import read_container
from tests.artifact.sample import make
from tests.kernels.random_graph import RandomGraph

TENSORS: dict[str, Any] = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.arange(5, dtype=np.uint8),
    "c": np.zeros(0, np.uint8),
}
DATA = safetensors.numpy.save(TENSORS, {"bitwright": "text", "other": ""})


def file(header: Any, tensors: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + tensors


def test_metadata_and_tensors_are_those_of_the_library() -> None:
    metadata, found, whole = read_container(DATA)
    assert metadata == {"bitwright": "text", "other": ""}
    assert {name: (e.dtype, list(e.shape), bytes(whole[e.begin : e.stop])) for name, e in found.items()} == {
        name: (e["dtype"], e["shape"], bytes(e["data"])) for name, e in safetensors.deserialize(DATA)
    }


def test_what_is_taken_of_damaged_headers_the_library_takes_as_well() -> None:
    """And nothing else than ValueError comes of the others."""
    rng, taken, end = random.Random(0), 0, 8 + struct.unpack("<Q", DATA[:8])[0]
    for _ in range(20_000):
        damaged = bytearray(DATA)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(8, end)] = rng.choice((rng.randrange(256), *b'{}[]",:0123456789-e '))
        try:
            _, found, whole = read_container(bytes(damaged))
        except (ValueError, RecursionError):
            continue
        theirs = {name: bytes(entry["data"]) for name, entry in safetensors.deserialize(bytes(damaged))}
        assert {name: bytes(whole[e.begin : e.stop]) for name, e in found.items()} == theirs
        taken += 1
    assert taken > 200


ENTRY = {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"1234567", "7 bytes"),
        (struct.pack("<Q", 2**63) + b"{}", "a header of 9223372036854775808 bytes"),
        (file(b"[]"), "begins with b'\\['"),
        (file(b" {}"), "begins with b' '"),
        (file(b"\xff\xfe{\0}\0"), "begins with b'.xff'"),
        (file(b'{"\xff": 1}'), "can't decode"),
        (file(b'{"__metadata__": null, "__metadata__": {}}'), "stands twice"),
        (file({"a": {**ENTRY, "dtype": "I5"}}, b"1"), "has no dtype or shape"),
        (file({"a": {**ENTRY, "shape": [2]}}, b"1"), "has 1 bytes"),
        (file({"__metadata__": {"a": 1}}), "not text by names"),
        (file({"__metadata__": []}), "not text by names"),
        (file({"a": {"dtype": "U8", "shape": [1]}}, b"1"), "without dtype"),
        (file({"a": [1]}, b"1"), "without dtype"),
        (file({"a": {**ENTRY, "more": 1}}, b"1"), "or with more"),
        (file({"a": {**ENTRY, "dtype": None}}, b"1"), "has no dtype or shape"),
        (file({"a": {**ENTRY, "shape": [True]}}, b"1"), "has no dtype or shape"),
        (file({"a": {**ENTRY, "shape": [-1]}}, b"1"), "has no dtype or shape"),
        (file({"a": {**ENTRY, "shape": [1] * 9}}, b"1"), "has no dtype or shape"),
        (file({"a": {**ENTRY, "shape": [2**63, 0]}}, b"1"), "has no dtype or shape"),
        (file(b'{"a": {"dtype": "U8", "shape": [1.0], "data_offsets": [0, 1]}}', b"1"), "has no dtype or shape"),
        (
            file(b'{"a": {"dtype": "U8", "shape": [NaN], "data_offsets": [0, 1]}}', b"1"),
            "is not a number that JSON knows",
        ),
        (file({"a": {**ENTRY, "data_offsets": [1, 0]}}, b"1"), "lies nowhere"),
        (file({"a": {**ENTRY, "data_offsets": [0, 1, 1]}}, b"1"), "lies nowhere"),
        (file({"a": {**ENTRY, "data_offsets": [1, 2]}}, b"12"), "begins at byte 1, expected 0"),
        (file({"a": ENTRY, "b": ENTRY}, b"1"), "begins at byte 0, expected 1"),
        (file({"a": ENTRY}, b"12"), "2 bytes of tensors, of which the header knows 1"),
        (file({"a": ENTRY}), "0 bytes of tensors, of which the header knows 1"),
    ],
)
def test_what_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_container(data)


def test_float_tensors_are_aligned_wherever_they_lie_in_the_file() -> None:
    data = make("int5").data
    for pad in range(4):
        text = data[8 : 8 + struct.unpack("<Q", data[:8])[0]]
        header = json.loads(text)
        header["__metadata__"]["bitwright"] = header["__metadata__"]["bitwright"].replace('"sha256"', '"sha"')
        moved = json.dumps(header).encode()
        moved += b" " * (-len(moved) % 4 + pad)
        artifact = bw.artifact.from_bytes(struct.pack("<Q", len(moved)) + moved + data[8 + len(text) :])
        for node in artifact.graph.nodes:
            for tensor in node.tensors.values():
                assert tensor.flags.aligned


STARVED = """
import os, resource, sys
import numpy as np
import bitwright as bw
import bitwright.engine.native, hashlib
path, expected = sys.argv[1], np.load(sys.argv[2])
for mib in range(0, 64, 2):
    child = os.fork()
    if child == 0:
        code = 9
        try:
            used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + mib * 2**20,) * 2)
            code = 0 if np.array_equal(bw.Engine(path, threads=2)(np.zeros((1, 16, 16, 3), np.uint8)), expected) else 8
        except MemoryError:
            code = 1
        finally:
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_memory_that_runs_out_while_an_artifact_is_read_planned_or_run_is_a_memory_error(tmp_path: Path) -> None:
    """In each child there is a little more address space: no memory, or the result, and nothing else."""
    g, path = RandomGraph((3, 16, 16)), tmp_path / "m"
    g.linear(g.linear(g.flatten(g.conv2d("input", 32, 3)), 600), 10, to_float=True)
    bw.Artifact(g.build(), bw.Preprocess(size=16)).save(path)
    np.save(tmp_path / "expected.npy", bw.Engine(path, threads=1)(np.zeros((1, 16, 16, 3), np.uint8)))
    command = [sys.executable, "-c", STARVED, str(path), str(tmp_path / "expected.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = [int(line) for line in done.stdout.splitlines()]
    assert set(found) == {0, 1}, (found, done.stderr)
    assert (found[0], found[-1]) == (1, 0)
    assert done.stderr == ""
