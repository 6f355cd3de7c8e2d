"""Long runs over numbered seeds: what came of each is counted in a file, and an interrupted run goes on where it stood."""

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
