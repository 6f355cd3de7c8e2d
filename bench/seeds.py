"""Long runs over numbered seeds: what came of each is counted in a file, and an interrupted run goes on where it stood."""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.progress import track

from bitwright.errors import BitwrightError
from bitwright.files import write_atomically
from tests.kernels.agreement import available


def over_seeds(count: int, kept: Path, one: Callable[[int], str]) -> dict[str, Any]:
    """Calls `one` with each seed below `count` that was not done before.

    It returns what came of the seed, which is counted under "found"; AssertionError and errors of ours are faults, which are
    printed and kept under "differ".
    """
    state: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {"done": 0}
    state = {"found": {}, "differ": {}, **state}
    found, saved = Counter(state["found"]), time.monotonic()
    for seed in track(range(state["done"], count), description=kept.stem):
        try:
            found[one(seed)] += 1
        except (AssertionError, BitwrightError) as error:
            state["differ"][str(seed)] = f"{type(error).__name__}: {error}"[:300]
            print(seed, state["differ"][str(seed)], file=sys.stderr, flush=True)
        state |= {"done": seed + 1, "found": dict(found)}
        if time.monotonic() - saved > 10 or seed + 1 == count:
            write_atomically(kept, json.dumps(state, indent=1).encode())
            saved = time.monotonic()
    return state


def main(doc: str | None, what: str, count: int, kept: Path, one: Callable[[int], str]) -> None:
    """The command line of such a run, which fails where native and reference differed on any instruction set here."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--kept", type=Path, default=kept)
    given = parser.parse_args()
    state = over_seeds(given.count, given.kept, one)
    print(f"{state['done']:,} {what} on {', '.join(available())}: {state['found']}, {len(state['differ'])} differ")
    sys.exit(bool(state["differ"]))
