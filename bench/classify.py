"""`bitwright classify` of a folder of JPEGs, images per second: the whole command, from start to exit, as a user waits for it.

    python -m bench.classify [--images 1000] [--rounds 3] [--python .venv/bin/python ...] [--model OLD.bw.safetensors]

The pictures are 256 x 256 and made here; the network takes about a millisecond for an image. Each `--python` is an interpreter
that has bitwright: give those of two checkouts to compare them, measured in turn, with a --model that both can read. What they
print must be the same.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch
from PIL import Image
from torch import nn

import bitwright as bw
from bench.arguments import existing, program

SIDE = 256


def network() -> nn.Sequential:
    """Convolutions of 3 x 3 at 224 x 224, about a millisecond of int8 on one core or two."""
    torch.manual_seed(0)
    widths = (3, 64, 128, 256, 384, 512)
    layers: list[nn.Module] = []
    for i, o in itertools.pairwise(widths):
        layers += [nn.Conv2d(i, o, 3, 2, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 100)).eval()


def write_pictures(folder: Path, count: int) -> list[Path]:
    """JPEGs of smooth colours under a little noise, about as costly to decode as photographs: 20 to 30 KB each."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{i:04}.jpg" for i in range(count)]
    for path in paths:
        smooth = Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8)).resize(
            (SIDE, SIDE), Image.Resampling.BICUBIC
        )
        noisy = np.asarray(smooth, np.int16) + rng.normal(0, 12, (SIDE, SIDE, 3)).astype(np.int16)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--python", nargs="+", type=program, default=[sys.executable])
    parser.add_argument("--model", type=existing, help="an artifact to classify with, for images of 224 x 224")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = write_pictures(Path(folder), given.images)
        preprocess = bw.Preprocess(size=224, mean=0.45, std=0.25)
        pixels = np.stack([preprocess.apply(Image.open(path)) for path in paths[:16]])
        model = given.model or Path(folder, "network.bw.safetensors")
        if given.model is None:
            bw.quantize(network(), pixels, preprocess=preprocess).save(model)
        engine = bw.Engine(model)
        times = []
        for _ in range(50):
            begin = perf_counter()
            engine(pixels[:1])
            times.append(perf_counter() - begin)
        size = sum(path.stat().st_size for path in paths) / len(paths)
        print(f"one image in the engine: {1e3 * median(times):.2f} ms; a file has {size:,.0f} bytes")
        seconds: dict[str, list[float]] = {python: [] for python in given.python}
        said = []
        for _ in range(given.rounds):
            for python in given.python:
                command = [python, "-m", "bitwright.cli", "classify", str(model), *map(str, paths), "--json"]
                begin = perf_counter()
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                seconds[python].append(perf_counter() - begin)
                said.append(json.loads(done.stdout)["images"])
        assert all(images == said[0] for images in said), "the interpreters give different classes"
        first = median(seconds[given.python[0]])
        for python, all_seconds in seconds.items():
            t = median(all_seconds)
            print(f"{python}: {given.images / t:,.0f} images/s ({t:.2f} s), {first / t:.2f} times the first")


if __name__ == "__main__":
    main()
