"""Mutated headers of artifacts, to both readers: `python -m bench.both_readers [--count N] [--kept FILE]`.

The header of a small artifact, or the document in it, has one to three places drawn anew: values are replaced by odd ones,
members and items removed, doubled, renamed or exchanged, bytes changed. Python's reader and the C library's must both take the
file, and then say the same of it, or both refuse it. Numbers that are done are counted in `--kept`, so that a run can go on.
"""

import json
import random
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.hostile_headers import with_length
from bench.seeds import main
from bitwright.artifact import Artifact, from_bytes
from bitwright.engine import Engine
from bitwright.errors import ArtifactError
from bitwright.ops import INTEGER_OPS
from tests.artifact.sample import document_of, header_and_body, make
from tests.library.library import Library

_WORDS = r"""
null true false 0 -0 1 2 3 -1 255 256 01 1. .5 +1 --1 0.0 1.0 -0.0 1e0 1E+2 1e24 1e400 -1e400 1e-400 4.9e-324 1.2e-38 3.5e38
2147483647 2147483648 50000000 50000001 9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809
NaN Infinity [] {} [0] [0,0] [1,1] [1.0,1] [[1,1]] [0,0,true] {"a":1} {"a":1,"a":1} "" "x" "input" "stem" "logits"
"RGB" "L" "nearest" "uint8" "int8" "bit" "threshold" "bitplanes:8" "\u0000" "\u00e9" "é" "\ud83d\ude00" "\ud83d" "\/" "\x"
"\"sha256\":\""
"""
SPELLED = _WORDS.split()
SPELLED += ["9" * 4300, "9" * 4301, "0." + "1" * 5000, '"\t"', '{"a":' * 199 + "1" + "}" * 199]
SPELLED += ["[" * depth + "]" * depth for depth in (150, 196, 197, 198, 199, 200, 205)]
"""JSON, or nearly, that takes the place of a value."""
MOST_PIXELS = 64
"""A side of an image, or its channels, that a file may ask for and is still run."""


def bases() -> list[tuple[str, dict[str, Any], bytes]]:
    """Small artifacts: the document, the rest of the header, and the tensors."""
    small = make("int4", without=tuple(INTEGER_OPS))
    grey = replace(small, classes=None, provenance={})
    found = []
    for artifact in (small, grey):
        header, body = header_and_body(artifact.data)
        found.append((document_of(artifact.data), {key: header[key] for key in header if key != "__metadata__"}, body))
    return found


def mutant(number: int, from_: list[tuple[Any, Any, bytes]]) -> bytes:
    """The bytes of a file."""
    rng = random.Random(number)
    document, tensors, body = from_[rng.randrange(len(from_))]
    where = rng.random()
    text = _spelled(document, rng if where < 0.7 else None)
    if 0.85 < where < 0.93:
        text = _bytes(text, rng)
    if rng.random() < 0.1:
        text += " " * rng.choice((1, 2**20))
    header = _spelled({"__metadata__": {"bitwright": text}, **tensors}, rng if 0.7 <= where <= 0.85 else None)
    if where >= 0.93:
        header = _bytes(header, rng)
    return with_length(header.encode(errors="surrogatepass")) + body


def _bytes(text: str, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 3)):
        at, sign = rng.randrange(len(text)), chr(rng.choice((*range(128), 0xE9, 0x1F600, 0xD83D)))
        text = text[:at] + rng.choice(("", sign, sign + text[at : at + 1])) + text[at + 1 :]
    return text


def _spelled(tree: Any, rng: random.Random | None) -> str:
    """As JSON; by `rng` with one to three places drawn anew."""
    places: dict[str, str] = {}
    tree = json.loads(json.dumps(tree))
    for _ in range(rng.choice((1, 1, 2, 3)) if rng is not None else 0):
        assert rng is not None
        _one(tree, rng, places)
    text = json.dumps(tree, separators=(",", ":"))
    for mark, by in places.items():
        text = text.replace(f'"{mark}"', by)
    return text


def _one(tree: Any, rng: random.Random, places: dict[str, str]) -> None:
    """One place drawn anew."""
    outer, key = _place(tree, rng)
    mark, kind = f"@@{len(places)}@@", rng.randrange(8)
    if kind < 4:
        outer[key], places[mark] = mark, rng.choice(SPELLED)
    elif kind == 4:
        del outer[key]
    elif kind == 5 and isinstance(outer, dict):
        other = rng.choice((*outer, "", "x", "sha256", "encoder", "output_name", "channel", "a" * 300, "\0"))
        outer[other] = outer.pop(key)
    elif kind == 6 and isinstance(outer, dict):  # the key twice, perhaps spelled otherwise
        name = json.dumps(key)
        if rng.random() < 0.5 and key:
            name = f'"\\u{ord(key[0]):04x}{json.dumps(key[1:])[1:]}'
        value = json.dumps(outer[key])
        outer[key], places[mark] = mark, f"{value},{name}:{value}" if rng.random() < 0.7 else f" {value}\n"
    elif kind == 6:
        outer.insert(rng.randrange(len(outer) + 1), json.loads(json.dumps(outer[key])))
    else:
        other_outer, other = _place(tree, rng)
        value = json.loads(json.dumps(other_outer[other]))
        outer[key] = value


def _place(tree: Any, rng: random.Random) -> tuple[Any, Any]:
    """A list or an object, and which of its items: one of any depth."""
    while True:
        key = rng.choice([*tree]) if isinstance(tree, dict) else rng.randrange(len(tree))
        if not isinstance(tree[key], dict | list) or not tree[key] or rng.random() < 0.25:
            return tree, key
        tree = tree[key]


def read_by_both(data: bytes, library: Library) -> str:
    """What becomes of a file; AssertionError where the readers differ."""
    try:
        read: Artifact | None = from_bytes(data)
    except ArtifactError as error:
        read, said = None, str(error)
    try:
        model = library.open(data)
    except ValueError as error:
        assert read is None, f"refused by the C library alone: {error}"
        return "refused"
    with model:
        assert read is not None, f"refused by Python alone: {said}"
        names = tuple(name.split("\0")[0] for name in read.class_names)  # C's texts end there
        assert (model.mode, model.class_names) == (read.preprocess.mode, names), "another mode or other class names"
        if max(read.preprocess.shape) <= MOST_PIXELS:
            pixels = np.random.default_rng(0).integers(0, 256, (1, *read.preprocess.shape), np.uint8)
            assert model.run(pixels).tobytes() == Engine(read)(pixels).tobytes(), "other logits"
    return "taken"


@cache
def _ready() -> tuple[Library, list[tuple[Any, Any, bytes]]]:
    return Library(), bases()


def one(number: int) -> str:
    """What becomes of a mutant."""
    library, from_ = _ready()
    return read_by_both(mutant(number, from_), library)


if __name__ == "__main__":
    main(__doc__, "mutated headers, to both readers,", 100_000, Path("both_readers.json"), one)
