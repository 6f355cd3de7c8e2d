"""The command: draws mutants, runs them, keeps what became of each."""

import argparse
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts import mutants
from scripts.mutants.mutant import ROOT, SOURCE, Mutant, draw
from scripts.mutants.outcome import outcome

KEPT = ROOT / "build" / "mutants.jsonl"


def kept() -> dict[str, dict[str, Any]]:
    """What earlier runs found, by the key of the mutant; the last run of each."""
    lines = KEPT.read_text().splitlines() if KEPT.exists() else []
    return {found["key"]: found for found in map(json.loads, lines)}


def keep(key: str, mutant: Mutant, found: str, by: str, seconds: float) -> None:
    KEPT.parent.mkdir(exist_ok=True)
    about = {"path": str(mutant.path.relative_to(ROOT)), "operator": mutant.operator, "seconds": round(seconds)}
    with KEPT.open("a") as file:
        file.write(json.dumps({"key": key, "outcome": found, "by": by, **about, **mutant.change()}) + "\n")


def remade(found: dict[str, Any]) -> Mutant | None:
    """A mutant that is kept, in today's sources: where its lines stand nearest to their old place. None: they are gone."""
    path, old = ROOT / found["path"], found["old"]
    lines = path.read_text().splitlines() if path.exists() else []
    places = [i for i in range(len(lines)) if lines[i : i + len(old)] == old]
    if not places:
        return None
    start = min(places, key=lambda i: abs(i - found["line"]))
    code = [*lines[:start], *found["new"], *lines[start + len(old) :]]
    return Mutant(path, found["operator"], "\n".join(code) + "\n")


def chosen(args: argparse.Namespace) -> Iterator[tuple[str, Mutant]]:
    """The mutants to run, with their keys: drawn, or kept ones again."""
    if not args.kept:
        chance = random.Random(args.seed)
        files = [path for path in sorted(SOURCE.rglob("*.py")) if _within(path, args.only)]
        drawn = (draw(chance, files) for _ in range(args.count))
        yield from ((mutant.key, mutant) for mutant in drawn)
        return
    for key, found in kept().items():
        if found["outcome"] != args.kept or not _within(ROOT / found["path"], args.only):
            continue
        mutant = remade(found)
        if mutant is None:
            print(f"     gone     {found['path']}: {found['old']}")
        else:
            yield key, mutant


def _within(path: Path, start: str) -> bool:
    return str(path.relative_to(SOURCE)).startswith(start)


def main() -> None:
    parser = argparse.ArgumentParser(description=mutants.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="Files below src/bitwright whose path begins so.")
    parser.add_argument("--timeout", type=float, default=900, help="Seconds of a processor for a file of tests.")
    parser.add_argument("--kept", choices=("survived", "timeout"), help="Draw none, run these again.")
    args = parser.parse_args()
    counts = dict.fromkeys(("killed", "timeout", "survived"), 0)
    before = {} if args.kept else kept()
    for number, (key, mutant) in enumerate(chosen(args), 1):
        if key in before:
            found = before[key]["outcome"]
        else:
            start = time.monotonic()
            found, by = outcome(mutant, args.timeout)
            keep(key, mutant, found, by, time.monotonic() - start)
        counts[found] += 1
        print(f"{number:4} {found:8} {mutant.path.relative_to(SOURCE)} {mutant.operator}", flush=True)
        if found == "survived":
            print(mutant.diff(), flush=True)
    total = sum(counts.values())
    seen = total - counts["survived"]
    share = f" ({100 * seen / total:.0f} %)" if total else ""
    print(f"{seen} of {total} mutants killed{share}, {counts['timeout']} of them by time")


if __name__ == "__main__":
    main()
