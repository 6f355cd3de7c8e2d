"""Damaged artifacts: `python -m bench.damaged [ARTIFACT ...] [--kinds header cut flip] [--count N] [--state FILE]`.

    header   each byte of the header, and of its length, by each of the other 255
    cut      the file ends at each byte
    flip     a bit of the tensors, drawn at random

Each must be refused by `ArtifactError` within SECONDS of the processor and with at most 4 times the file and 16 MiB of memory,
or be the same model. The digest of the contents sees all but changes of its own name, which take it away; what is left then is
counted as "without digest". Without ARTIFACT: three small ones. Damage number I of a kind is always the same: `--state` keeps
the counts after every PIECE damages, and the same command goes on from there.
"""

import argparse
import json
import random
import resource
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.arguments import existing
from bitwright.artifact import Artifact, from_bytes
from bitwright.errors import ArtifactError
from bitwright.files import write_atomically
from bitwright.images.preprocess import Preprocess

SECONDS = 1.0
PIECE = 20_000
KINDS = ("header", "cut", "flip")


def damages(kind: str, data: bytes, first: int, count: int) -> Iterator[bytes]:
    """Damages [first, first + count) of a kind, as far as there are so many."""
    end = 8 + int.from_bytes(data[:8], "little")
    if kind == "header":
        for i in range(first, min(first + count, 255 * end)):
            place, other = divmod(i, 255)
            yield data[:place] + bytes([other + (other >= data[place])]) + data[place + 1 :]
    elif kind == "cut":
        for i in range(first, min(first + count, len(data))):
            yield data[:i]
    else:
        for i in range(first, first + count):
            place, bit = end + random.Random(i).randrange(len(data) - end), i % 8
            yield data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def outcome(damaged: bytes, sound: bytes) -> str:
    """What became of it; with ! in front where that must not be."""
    begin = time.process_time()
    try:
        found = from_bytes(damaged)
    except ArtifactError:
        seconds = time.process_time() - begin
        return "refused" if seconds < SECONDS else f"!refused after {seconds:.1f} s"
    except Exception as error:  # noqa: BLE001 - the fault that is looked for
        return f"!{type(error).__name__}: {error}"
    if found.data == sound:
        return "the same"
    same = replace(found, provenance=from_bytes(sound).provenance).data == sound
    return "the same, without digest" if same else "!another model"


def how_many(kind: str, data: bytes) -> int:
    """All of a kind; of flips, of which there is no end, a million."""
    end = 8 + int.from_bytes(data[:8], "little")
    return {"header": 255 * end, "cut": len(data), "flip": 10**6}[kind]


def piece(sound: bytes, kind: str, first: int, count: int) -> dict[str, Any]:
    """What became of so many damages, the longest milliseconds of one, and how many MiB the process has grown by."""
    found: Counter[str] = Counter()
    outcome(sound[:-1], sound)
    before, slowest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0.0
    for damaged in damages(kind, sound, first, count):
        begin = time.process_time()
        found[outcome(damaged, sound)] += 1
        slowest = max(slowest, time.process_time() - begin)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"done": count, "found": dict(found), "slowest_ms": 1e3 * slowest, "grown_mib": grown}


def together(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The counts of two pieces."""
    found = dict(Counter(one["found"]) + Counter(other["found"]))
    worst = {key: max(one[key], other[key]) for key in ("slowest_ms", "grown_mib")}
    return {"done": one["done"] + other["done"], "found": found, **worst}


def attack(name: str, sound: bytes, kind: str, count: int, state: Path | None) -> int:
    """All damages of a kind, up to `count`; says what became of them, and returns how many faults of ours there were."""
    kept: dict[str, Any] = json.loads(state.read_text()) if state is not None and state.exists() else {}
    key, count = f"{name} {kind}", min(count, how_many(kind, sound))
    so_far = kept.get(key, {"done": 0, "found": {}, "slowest_ms": 0.0, "grown_mib": 0.0})
    while (left := count - so_far["done"]) > 0:
        so_far = together(so_far, piece(sound, kind, so_far["done"], min(PIECE, left)))
        if state is not None:
            write_atomically(state, json.dumps({**kept, key: so_far}, indent=1).encode())
    print(f"{name}, {len(sound):,} bytes, {kind}, {so_far['done']:,}: {so_far['found']}; ", end="")
    print(f"slowest {so_far['slowest_ms']:.1f} ms, {so_far['grown_mib']:.1f} MiB more at most", flush=True)
    faults = sum(n for kind, n in so_far["found"].items() if kind.startswith("!"))
    return int(faults + (so_far["grown_mib"] > 16 + 4 * len(sound) / 2**20))


def sound_files(paths: list[Path]) -> dict[str, bytes]:
    if paths:
        return {path.name: path.read_bytes() for path in paths}
    from tests.artifact.sample import make
    from tests.kernels.random_graph import RandomGraph

    found = {"sample int5": make("int5").data}  # every op
    for name in ("ternary", "int8"):  # smaller ones
        g = RandomGraph((3, 6, 6))
        x = g.conv2d("input", 4, 3, weights=name)
        g.linear(g.flatten(g.global_avg_pool2d(x)), 3, to_float=True)
        found[f"small {name}"] = Artifact(g.build(), Preprocess(size=6)).data
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifacts", type=existing, nargs="*")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--count", type=int, default=10**9, help="of each kind; without it all, and a million flips")
    parser.add_argument("--state", type=Path, help="where the counts are kept, so that the run can go on later")
    given = parser.parse_args()
    faults = 0
    for name, sound in sound_files(given.artifacts).items():
        for kind in given.kinds:
            faults += attack(name, sound, kind, given.count, given.state)
    raise SystemExit(faults > 0)


if __name__ == "__main__":
    main()
