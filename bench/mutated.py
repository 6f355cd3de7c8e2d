"""Mutated ONNX files, against the reader: `python -m bench.mutated --file MODEL.onnx [--count N] [--seed 0] [--state FILE]`.

Each must load, or be refused by an error of ours, within SECONDS of the processor. Bytes are changed, removed, doubled and
cut off; fields of the protobuf are drawn anew. Prints what became of them, and how much the memory grew. File i depends on the
seed and i alone, and `--state` lets a run go on where it stopped.
"""

import argparse
import json
import random
import resource
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from onnx import ModelProto

from bitwright.errors import BitwrightError
from bitwright.files import write_atomically
from bitwright.models import load_model

SECONDS = 5.0
_SIZES = (-(2**63), -1, 0, 1, 2, 7, 2**20, 2**31, 2**62, 2**63 - 1)
_TEXTS = ("", "x", "w", "y", "com.microsoft", "../w.bin", "\0", "Conv", "Reshape", "If", "Relu")


def mutated(whole: bytes, rng: random.Random) -> bytes:
    """The file with a few bytes, or a few fields, drawn anew."""
    if rng.random() < 0.5:
        return _bytes(bytearray(whole), rng)
    model = ModelProto.FromString(whole)
    for _ in range(rng.randint(1, 3)):
        _field(model, rng)
    made: bytes = model.SerializeToString()
    return made


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


def _field(model: ModelProto, rng: random.Random) -> None:
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
        load_model(path)
        found = ""
    except BitwrightError as error:
        found = type(error).__name__
    except Exception as error:  # noqa: BLE001 - the fault that is looked for
        found = f"!{type(error).__name__}: {error}"
    seconds = time.process_time() - start
    return f"!took {seconds:.1f} s" if seconds > SECONDS else found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--state", type=Path, help="Where the counts are kept, so that the run can go on later.")
    given = parser.parse_args()
    whole = given.file.read_bytes()
    kept: dict[str, Any] = {"done": 0, "found": {}, "grown_mib": 0.0}
    if given.state is not None and given.state.exists():
        kept = json.loads(given.state.read_text())
    found: Counter[str] = Counter(kept["found"])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        for batch in (0, 1):  # a first file of either kind imports what all others use
            model = ModelProto.FromString(whole)
            model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
            tried(model.SerializeToString(), path)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for i in range(kept["done"], given.count):
            outcome = tried(mutated(whole, random.Random(f"{given.seed}/{i}")), path)
            found[outcome] += 1
            if outcome.startswith("!"):
                print(f"file {i}: {outcome:.300}", flush=True)
            if (i + 1) % 500 == 0 or i + 1 == given.count:
                grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
                kept = {"done": i + 1, "found": dict(found), "grown_mib": max(kept["grown_mib"], grown)}
                if given.state is not None:
                    write_atomically(given.state, json.dumps(kept).encode())
    print(
        f"{kept['done']} files of {len(whole)} bytes: {found.pop('', 0)} read, {dict(found)}; "
        f"{kept['grown_mib']:.0f} MiB more at most"
    )


if __name__ == "__main__":
    main()
