"""Mutated files, against their readers: `python -m bench.mutated [--file FILE] [--count N] [--seed 0] [--state FILE]`.

By its name FILE is a float model (.onnx, .pt2), weights (.pt, .safetensors), an artifact (.bw.safetensors), a recipe (.toml) or
else a picture; without it, a small one of each kind is mutated. Each mutant must be read, or be refused by an error of ours,
within SECONDS of the processor. Bytes are changed, removed, doubled and cut off; half of the mutants are changed where the
format has its structure: fields of the protobuf, files of the zip, the JSON of the artifact, tokens of the recipe. Prints what
became of them, and how much the memory grew. Mutant i depends on the seed and i alone, and `--state` lets a run go on where it
stopped.
"""

import argparse
import io
import json
import random
import re
import resource
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.arguments import existing
from bitwright.artifact import load
from bitwright.errors import BitwrightError
from bitwright.files import write_atomically
from bitwright.images.decode import decode
from bitwright.recipe import Recipe

SECONDS = 5.0
_SIZES = (-(2**63), -1, 0, 1, 2, 7, 2**20, 2**31, 2**62, 2**63 - 1)
_TEXTS = ("", "x", "w", "y", "com.microsoft", "../w.bin", "\0", "Conv", "Reshape", "If", "Relu")


def mutated(whole: bytes, rng: random.Random, kind: str = "onnx") -> bytes:
    """The file with a few bytes, or a few parts of its structure, drawn anew."""
    if kind not in STRUCTURES or rng.random() < 0.5:
        return _bytes(bytearray(whole), rng)
    return STRUCTURES[kind](whole, rng)


def _protobuf(whole: bytes, rng: random.Random) -> bytes:
    from onnx import ModelProto

    model = ModelProto.FromString(whole)
    for _ in range(rng.randint(1, 3)):
        _field(model, rng)
    made: bytes = model.SerializeToString()
    return made


def _zip(whole: bytes, rng: random.Random) -> bytes:
    """One file in it mutated, removed, or given another's name."""
    with zipfile.ZipFile(io.BytesIO(whole)) as file:
        entries = [(info.filename, file.read(info)) for info in file.infolist()]
    chosen, kind = rng.randrange(len(entries)), rng.randrange(6)
    name, data = entries[chosen]
    if kind == 0:
        del entries[chosen]
    elif kind == 1:
        entries[chosen] = rng.choice(entries)[0], data
    elif name.endswith(".json") and kind < 5:
        entries[chosen] = name, _json(data.decode(), rng).encode()
    else:
        entries[chosen] = name, _bytes(bytearray(data), rng)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name that stands twice is the point
        for name, data in entries:
            file.writestr(name, data)
    return made.getvalue()


def _artifact(whole: bytes, rng: random.Random) -> bytes:
    """Its document mutated, and without the digest, behind which nothing else would be looked at."""
    end = 8 + int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8:end])
    document = json.loads(header["__metadata__"]["bitwright"])
    document["provenance"].pop("sha256", None)
    header["__metadata__"]["bitwright"] = _json(json.dumps(document), rng)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + whole[end:]


def _json(text: str, rng: random.Random) -> str:
    """A few leaves or whole parts replaced, removed, or exchanged with others beside them."""
    document = json.loads(text)
    for _ in range(rng.randint(1, 3)):
        node: Any = document
        while node:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            key, kind = rng.choice(keys), rng.randrange(4)
            if isinstance(node[key], dict | list) and rng.random() < 0.85:
                node = node[key]
                continue
            if kind == 0:
                del node[key]
            elif kind == 1:
                node[key] = rng.choice((*_SIZES, *_TEXTS, None, True, 0.5, 1e308, [], {}, [[1]], {"a": 1}))
            elif kind == 2:
                node[key] = node[rng.choice(keys)]
            elif isinstance(node, list):
                node.insert(key, node[key])
            break
    return json.dumps(document)


def _tokens(whole: bytes, rng: random.Random) -> bytes:
    """Words, numbers and signs of a text replaced by others of it, or by some that are wrong."""
    tokens = re.findall(rb"\s+|\w+|.", whole)
    wrong = (b"[", b"]", b'"', b"'", b"=", b"-1", b"1e400", b"true", b"nan", b"\\ud800", b"0x", b"\0", b"9" * 5000)
    for _ in range(rng.randint(1, 4)):
        tokens[rng.randrange(len(tokens))] = rng.choice((rng.choice(tokens), rng.choice(wrong), b""))
    return b"".join(tokens)


def _load_model(path: Path) -> object:
    from bitwright.models import load_model

    return load_model(path)


def _load_weights(path: Path) -> object:
    from bitwright.models.weights import read_state_dicts

    return read_state_dicts(path)


STRUCTURES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "onnx": _protobuf,
    "pt2": _zip,
    "pt": _zip,
    "bw.safetensors": _artifact,
    "toml": _tokens,
}
READERS: dict[str, Callable[[Path], object]] = {
    "onnx": _load_model,
    "pt2": _load_model,
    "pt": _load_weights,
    "safetensors": _load_weights,
    "bw.safetensors": load,
    "toml": Recipe.parse,
}
"""By the end of the name; what has none of these is a picture."""


def kind_of(path: Path) -> str:
    """Which reader a file has."""
    return next((kind for kind in sorted(READERS, key=len, reverse=True) if path.name.endswith(f".{kind}")), "picture")


def _bytes(data: bytearray, rng: random.Random) -> bytes:
    for _ in range(rng.randint(1, 8)):
        if not data:
            break
        place = rng.randrange(len(data))
        kind = rng.randrange(5)
        if kind == 0:
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[place] = rng.choice((0, 1, 127, 128, 255))
        elif kind == 2:
            del data[place : place + rng.randint(1, 16)]
        elif kind == 3:
            data[place:place] = data[place : place + rng.randint(1, 16)]
        else:
            del data[max(1, place) :]
    return bytes(data)


def _field(model: Any, rng: random.Random) -> None:
    graph = model.graph
    node = rng.choice(graph.node)
    kind = rng.randrange(9)
    if kind == 0 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice(_TEXTS)
    elif kind == 1:
        node.op_type = rng.choice([rng.choice(_TEXTS), rng.choice(graph.node).op_type])
    elif kind == 2:
        node.domain = rng.choice(_TEXTS)
    elif kind == 3 and graph.initializer:
        tensor = rng.choice(graph.initializer)
        tensor.dims[:] = [rng.choice(_SIZES) for _ in range(rng.randint(0, 5))]
    elif kind == 4 and graph.initializer:
        rng.choice(graph.initializer).data_type = rng.randrange(30)
    elif kind == 5 and node.attribute:
        attribute = rng.choice(node.attribute)
        attribute.i = rng.choice(_SIZES)
        attribute.ints[:] = [rng.choice(_SIZES) for _ in range(rng.randint(0, 5))]
    elif kind == 6:
        dims = graph.input[0].type.tensor_type.shape.dim
        if dims:
            rng.choice(dims).dim_value = rng.choice(_SIZES)
    elif kind == 7:
        node.output[:] = [rng.choice(_TEXTS) for _ in range(rng.randint(0, 3))]
    else:
        graph.node.insert(rng.randrange(len(graph.node)), node)


def tried(data: bytes, path: Path) -> str:
    """What became of a file: empty where it was read, else the error's kind; with ! in front where that is a fault of ours."""
    path.write_bytes(data)
    start = time.process_time()
    try:
        READERS.get(kind_of(path), decode)(path)
        found = ""
    except BitwrightError as error:
        found = type(error).__name__
    except Exception as error:  # noqa: BLE001 - the fault that is looked for
        found = f"!{type(error).__name__}: {error}"
    seconds = time.process_time() - start
    return f"!took {seconds:.1f} s" if seconds > SECONDS else found


def attack(file: Path, count: int, seed: int, state: Path | None = None) -> int:
    """Mutants of one file; says what became of them, and returns how many faults of ours there were; `state` keeps counts."""
    whole, kind = file.read_bytes(), kind_of(file)
    kept: dict[str, Any] = {"done": 0, "found": {}, "grown_mib": 0.0}
    if state is not None and state.exists():
        kept = json.loads(state.read_text())
    found: Counter[str] = Counter(kept["found"])
    with TemporaryDirectory() as folder:
        path, others = Path(folder) / file.name, random.Random(-1)
        for _ in range(20):  # these import what all others use
            tried(mutated(whole, others, kind), path)
        tried(whole, path)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for i in range(kept["done"], count):
            outcome = tried(mutated(whole, random.Random(f"{seed}/{i}"), kind), path)
            found[outcome] += 1
            if outcome.startswith("!"):
                print(f"{file.name}, seed {seed}, file {i}: {outcome:.300}", flush=True)
            if (i + 1) % 500 == 0 or i + 1 == count:
                grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
                kept = {"done": i + 1, "found": dict(found), "grown_mib": max(kept["grown_mib"], grown)}
                if state is not None:
                    write_atomically(state, json.dumps(kept).encode())
    read, refused = found.pop("", 0), sum(n for outcome, n in found.items() if not outcome.startswith("!"))
    faults = found.total() - refused
    print(
        f"{file.name}, {len(whole)} bytes: {kept['done']} mutants, {read} read, {refused} refused, {faults} faults; ",
        end="",
    )
    print(f"{kept['grown_mib']:.0f} MiB more at most", flush=True)
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--file", type=existing, help="else a small one of each kind")
    parser.add_argument(
        "--state", type=Path, help="with --file: where the counts are kept, so that the run can go on later"
    )
    given = parser.parse_args()
    if given.file:
        raise SystemExit(attack(given.file, given.count, given.seed, given.state) > 0)
    from bench.mutated_samples import write_samples

    with TemporaryDirectory() as folder:
        raise SystemExit(sum(attack(file, given.count, given.seed) for file in write_samples(Path(folder))) > 0)


if __name__ == "__main__":
    main()
