"""Two builds of the engine on the same artifacts, by turns: is the newer one as fast, and are the logits equal to the byte?

    python -m bench.pair OLD/.venv/bin/python NEW/.venv/bin/python ARTIFACT ... [--threads 1 2] [--batch 1] [--limit 1.02]

Each build runs in a process of its own. A round is a few runs of both, and who begins changes from round to round, so that
whatever else the machine does hits both. Artifacts have to be readable for both: take those that the older checkout has
written (`python -m bench.peers` leaves its own in build/bench). Printed are the least times, their ratio, and the median of
the ratios of the rounds' least times, with the interval that holds it in 95 of 100 cases: on a busy machine only that one says
anything. The exit status is 1 where logits differ, or where the whole interval is above the limit.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from pathlib import Path
from statistics import median
from typing import Any, Self

from bench.arguments import existing, program

WORKER = Path(__file__).with_name("pair_worker.py")
Round = tuple[Sequence[float], Sequence[float]]
"""Seconds of the older and of the newer build."""


@dataclass(frozen=True)
class Ratio:
    """The ratio of the newer build's time to the older one's."""

    median: float
    low: float
    high: float
    of_least: float

    @classmethod
    def of(cls, rounds: Sequence[Round]) -> Self:
        """The median of the rounds' ratios, with its 95 % interval by their order, whatever they are distributed like."""
        ratios = sorted(min(new) / min(old) for old, new in rounds)
        margin = 0.98 * len(ratios) ** 0.5
        low = max(0, floor((len(ratios) - 1) / 2 - margin))
        old, new = (min(min(times[i]) for times in rounds) for i in (0, 1))
        return cls(median(ratios), ratios[low], ratios[-1 - low], new / old)


class Build:
    """A process that runs some checkout's engine."""

    def __init__(self, python: str, isa: str | None = None) -> None:
        self.python = python
        environment = {**os.environ, **({"BITWRIGHT_ISA": isa} if isa else {})}
        # -P: modules of bench shall not stand in for anybody's
        self._process = subprocess.Popen(
            [python, "-P", str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, *what: object) -> dict[str, Any]:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(what) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.python} stopped; what it said is above")
        return dict(json.loads(line))

    def close(self) -> None:
        self._process.communicate()


def rounds_of(builds: tuple[Build, Build], task: tuple[object, ...], rounds: int) -> tuple[list[Round], bool]:
    """The times of both in each round, and whether their logits are the same bytes."""
    found: list[Round] = []
    digests = set()
    for i in range(rounds):
        answers: dict[int, dict[str, Any]] = {}
        for which in (0, 1) if i % 2 == 0 else (1, 0):
            answers[which] = builds[which].ask(*task)
            digests.add(answers[which]["digest"])
        found.append((answers[0]["seconds"], answers[1]["seconds"]))
    return found, len(digests) == 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=program, help="an interpreter that has the older bitwright")
    parser.add_argument("new", type=program, help="one that has the newer")
    parser.add_argument("artifacts", nargs="+", type=existing)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--batch", nargs="+", type=int, default=[1])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=1.02)
    given = parser.parse_args()
    builds = Build(given.old), Build(given.new)
    failed = False
    print("| artifact | threads | batch | old ms | new ms | of least | median ratio | logits |\n" + "| --- " * 8 + "|")
    for path in given.artifacts:
        for threads in given.threads:
            for batch in given.batch:
                task = (str(path.resolve()), threads, batch, given.repeats)
                rounds, equal = rounds_of(builds, task, given.rounds)
                ratio = Ratio.of(rounds)
                failed |= not equal or ratio.low > given.limit
                old, new = (1e3 * min(min(times[i]) for times in rounds) for i in (0, 1))
                print(
                    f"| {path.name.split('.')[0]} | {threads} | {batch} | {old:.3f} | {new:.3f} | {ratio.of_least:.3f} "
                    f"| **{ratio.median:.3f}** ({ratio.low:.3f} .. {ratio.high:.3f}) | {'equal' if equal else 'DIFFERENT'} |",
                    flush=True,
                )
    for build in builds:
        build.close()
    sys.exit(failed)


if __name__ == "__main__":
    main()
