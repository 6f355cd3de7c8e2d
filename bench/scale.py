"""What several processes gain, and what they cost, in commands short enough to run on a machine that does nothing else.

    python -m bench.scale alone|ray|calibrate|train [--set cifar|jpeg] [--processes N] [--record FILE]
    python -m bench.scale model [--record FILE]

`alone` classifies with one process of one thread, `ray` with so many workers; `calibrate` and `train` start ranks by torchrun.
Each appends a line of JSON to the record; `model` says from its lines what more machines would do (`bench.scale_model`).
CIFAR-10's images come from cifar10-train.npz in $BITWRIGHT_DATA or --data, JPEGs of 256 x 256 are made here.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import bitwright as bw
from bench import scale_model
from bench.classify import network, write_pictures

ARTIFACT = Path(__file__).parents[1] / "examples" / "cifar10" / "resnet20-w4a4.bw.safetensors"
DIFFERENT = 500
"""So many JPEGs differ; the others are copies."""
Set = tuple[bw.Artifact, Any]


class Clock:
    """A `Progress` that knows when the first images were done, and when all were."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []

    def at(self, what: str, done: float, total: float, details: object = None) -> None:
        self.points.append((perf_counter(), done))

    def say(self, text: str) -> None:
        print(text, file=sys.stderr)

    def rate(self) -> float:
        """Images a second between the first and the last word."""
        (first, before), (last, after) = self.points[0], self.points[-1]
        return (after - before) / (last - first)


def images_of(name: str, made: Path, count: int, data: Path) -> Set:
    if name == "cifar":
        return bw.load(ARTIFACT), bw.open_source(f"{data}[:{count}]")
    if not made.exists():
        made.mkdir(parents=True)
        pictures = write_pictures(made, min(count, DIFFERENT))
        for i in range(len(pictures), count):
            shutil.copy(pictures[i % DIFFERENT], made / f"{i:05}.jpg")
    preprocess = bw.Preprocess(size=224, resize=256, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    source = bw.open_source(made)
    return bw.quantize(network(), source.head(16), preprocess=preprocess, recipe="w8a8"), source


def alone(artifact: bw.Artifact, source: Any) -> dict[str, Any]:
    clock = Clock()
    classifier, begin = bw.Classifier(artifact, threads=1), perf_counter()
    for i, _ in enumerate(classifier.stream(source), 1):
        if i % 500 == 0:
            clock.at("", i, 0)
    return {"seconds": perf_counter() - begin, "rate": clock.rate()}


def on_ray(artifact: bw.Artifact, source: Any, folder: Path, workers: int, part: int) -> dict[str, Any]:
    from bitwright.scale.classifying import classify
    from bitwright.scale.cluster import cluster

    clock, begin = Clock(), perf_counter()
    with cluster():
        started, busy = perf_counter(), process_time()
        found = classify(artifact, source, folder / "out", workers=workers, part=part, progress=clock)
        seconds, busy = perf_counter() - begin, process_time() - busy
    assert found.images == len(source)
    times = {"cluster": started - begin, "first": clock.points[0][0] - started, "seconds": seconds}
    times |= {"driver": busy / found.parts}
    return {**times, "rate": clock.rate()}


def torchrun(what: str, ranks: int, arguments: list[str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    begin = perf_counter()
    done = subprocess.run(
        [*command, "-m", "bench.scale_rank", what, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {"whole": perf_counter() - begin, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["alone", "ray", "calibrate", "train", "model"])
    parser.add_argument("--set", choices=["cifar", "jpeg"], default="cifar", dest="images")
    parser.add_argument("--count", type=int, help="images; else 50,000 of CIFAR-10, 6,000 JPEGs")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--part", type=int, default=500)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BITWRIGHT_DATA", ".")) / "cifar10-train.npz")
    parser.add_argument("--jpegs", type=Path, default=Path("build/jpegs"), help="where they are, or are made")
    parser.add_argument("--record", type=Path, default=Path("scale.jsonl"))
    args = parser.parse_args()
    needed = args.record if args.what == "model" else args.data
    if not needed.exists() and (args.what, args.images) not in (("alone", "jpeg"), ("ray", "jpeg")):
        parser.error(
            f"expected {'what the other commands record' if needed == args.record else 'CIFAR-10'}, found no {needed}"
        )
    if args.what == "model":
        print(scale_model.tables([json.loads(line) for line in args.record.read_text().splitlines()]))
        return
    count = args.count or {"cifar": 50_000, "jpeg": 6_000}[args.images]
    processes = 1 if args.what == "alone" else args.processes
    with tempfile.TemporaryDirectory(prefix="bitwright-") as name:
        if args.what in ("calibrate", "train"):
            found = torchrun(args.what, processes, [str(args.data), str(args.count or 2048)])
        else:
            artifact, source = images_of(args.images, args.jpegs, count, args.data)
            if args.what == "alone":
                found = alone(artifact, source)
            else:
                found = on_ray(artifact, source, Path(name), processes, args.part)
    line = {"what": args.what, "set": args.images, "processes": processes, "count": args.count or count, **found}
    print(json.dumps(line))
    with args.record.open("a") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
