"""Damaged artifacts: `python -m bench.damaged [ARTIFACT ...] [--kinds header cut flip] [--count N] [--first I]`.

    header   each byte of the header, and of its length, by each of the other 255
    cut      the file ends at each byte
    flip     a bit of the tensors, drawn at random

Each must be refused by `ArtifactError` within SECONDS of the processor and with at most 4 times the file and 16 MiB of memory,
or be the same model. The digest of the contents sees all but changes of its own name, which take it away; what is left then is
counted as "without digest". Without ARTIFACT: three small ones. Damage number I of a kind is always the same, so that long runs
can be done in pieces.
"""

import argparse
import random
import resource
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bitwright.artifact import from_bytes
from bitwright.errors import ArtifactError

SECONDS = 1.0
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


def attack(name: str, sound: bytes, kind: str, first: int, count: int) -> int:
    found: Counter[str] = Counter()
    outcome(sound[:-1], sound)
    before, slowest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0.0
    for damaged in damages(kind, sound, first, count):
        begin = time.process_time()
        found[outcome(damaged, sound)] += 1
        slowest = max(slowest, time.process_time() - begin)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{name}, {len(sound):,} bytes, {kind}, {found.total():,} from {first:,}: {dict(found)}; ", end="")
    print(f"slowest {1e3 * slowest:.1f} ms, {grown:.1f} MiB more at most", flush=True)
    return sum(n for kind, n in found.items() if kind.startswith("!")) + (grown > 16 + 4 * len(sound) / 2**20)


def sound_files(paths: list[Path]) -> dict[str, bytes]:
    if paths:
        return {path.name: path.read_bytes() for path in paths}
    from tests.artifact.sample import make

    return {f"sample {weights}": make(weights).data for weights in ("int5", "ternary", "int8")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifacts", type=Path, nargs="*")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=10**9, help="of each kind; without it all, and a million flips")
    given = parser.parse_args()
    faults = 0
    for name, sound in sound_files(given.artifacts).items():
        for kind in given.kinds:
            count = min(given.count, 10**6) if kind == "flip" else given.count
            faults += attack(name, sound, kind, given.first, count)
    raise SystemExit(faults > 0)


if __name__ == "__main__":
    main()
