"""Twice the load that the server can bear, on the same processors: `python -m bench.overload ARTIFACT --weights FLOAT --write`.

What it can bear is the rate of a load that waits for its answers. Then requests go out at twice that rate, whatever comes
back, for --seconds; and the same load to a plain FastAPI handler around ONNX Runtime, in the same run. A request that is due
while all connections wait for answers is not sent, and counted: a client that has given up. Every answer of the server is
compared with the engine's, to the bit; a plain handler's, with its first one. The artifact and FLOAT (safetensors) are of
`bitwright.zoo:cifar_resnet20`; --write puts the table into docs/serving.md.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import uvloop

from bench.arguments import existing
from bench.load import Check, Load, closed, paced, request
from bench.page import with_table
from bench.serve import IMAGES, onnx_models, requests_of, server
from bitwright.artifact import load
from bitwright.engine import Engine

PAGE = Path(__file__).parent.parent / "docs" / "serving.md"
CONNECTIONS = 1000
COLUMNS = (
    *(
        "server",
        "bears, per s",
        "asked, per s",
        "arrived",
        "answered 200, per s",
        "429, per s",
        "other",
        "p50 ms",
        "p99 ms",
    ),
    "MiB before, half-way, after",
)
HEAD = (f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}")


@dataclass(frozen=True)
class Overloaded:
    """What one server did under a load at a fixed rate."""

    name: str
    bears: float
    asked: float
    load: Load
    memory: tuple[float, ...]

    @property
    def arrived(self) -> float:
        """The share of the requests that were due and went out."""
        sent = self.load.statuses.total()
        return sent / (sent + self.load.unsent)

    def row(self) -> str:
        load, statuses = self.load, self.load.statuses
        other = sum(count for status, count in statuses.items() if status not in ("200", "429"))
        cells = [
            self.name,
            f"{self.bears:,.0f}",
            f"{self.asked:,.0f}",
            f"{100 * self.arrived:.1f} %",
            f"{load.rate:,.0f}",
            f"{statuses['429'] / load.took:,.0f}",
            f"{other:,}",
            f"{load.percentile(50):.0f}",
            f"{load.percentile(99):.0f}",
            ", ".join(f"{mib:.0f}" for mib in self.memory),
        ]
        return f"| {' | '.join(cells)} |"


def resident_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / 1024


def overload(
    name: str, port: int, pid: int, sent: Sequence[bytes], right: Check, seconds: float, rate: float | None
) -> Overloaded:
    """A server under `rate` requests a second; None: under twice what it bears."""
    uvloop.run(closed(port, sent, right, 64, 2))  # both warm up
    bears = uvloop.run(closed(port, sent, right, 64, 4)).rate
    asked = 2 * bears if rate is None else rate
    memory, total = [resident_mib(pid)], Load()
    for _ in range(2):
        load = uvloop.run(paced(port, sent, right, CONNECTIONS, seconds / 2, asked))
        memory.append(resident_mib(pid))
        total.statuses += load.statuses
        total.seconds += load.seconds
        total.wrong += load.wrong
        total.unsent += load.unsent
        total.took += load.took
    assert total.wrong == 0, f"{name}: {total.line()}"
    found = Overloaded(name, bears, asked, total, tuple(memory))
    print(found.row(), flush=True)
    return found


def alike() -> Check:
    """Whether an answer is what the same request was answered first."""
    first: dict[int, bytes] = {}
    return lambda number, body: first.setdefault(number, body) == body


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=existing)
    parser.add_argument("--weights", type=existing, required=True, help="the float network, for the plain handler")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--plain-seconds", type=float, default=20.0)
    parser.add_argument("--port", type=int, default=8199)
    parser.add_argument("--write", action="store_true", help="put the table into docs/serving.md")
    given = parser.parse_args()
    artifact = load(given.artifact)
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, *artifact.preprocess.shape), np.uint8)
    engine = Engine(artifact, threads=given.threads)
    expected = [engine(image).tobytes() for image in pixels]
    port, threads = given.port, str(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        float32, int8 = onnx_models(given.weights, pixels, Path(folder))
        print("\n".join(HEAD), flush=True)
        serve = ("bitwright.cli", "serve", f"m={given.artifact}", "--port", str(port), "--threads", threads)
        with server(*serve, port=port, path="/v2/health/live") as pid:
            right: Check = lambda number, body: body.endswith(expected[number])  # noqa: E731
            found = [overload("bitwright serve", port, pid, requests_of(pixels), right, given.seconds, None)]
        plain = [request("/infer", image.tobytes()) for image in pixels]
        for name, model in (("int8", int8), ("float32", float32)):
            with server("bench.plain", str(model), str(port), threads, port=port, path="/nothing") as pid:
                title, asked = f"FastAPI and ONNX Runtime, {name}", found[0].asked
                found.append(overload(title, port, pid, plain, alike(), given.plain_seconds, asked))
    if given.write:
        rows = "\n".join((*HEAD, *(each.row() for each in found)))
        PAGE.write_text(with_table(PAGE.read_text(), "overload", f"{rows}\n"))


if __name__ == "__main__":
    main()
