"""A network's time at other widths than 8 bits, beside its own w8a8, in one run: `python -m bench.widths`.

Random weights, without corrections; each engine must first give the reference's logits to the bit, of one image. Then they
take turns, for several rounds of single images. Printed are milliseconds (the median of the rounds' least times, and the
least of all), the ratio to w8a8 (the median of the rounds'), and how many of the layers' multiply-adds are made by
Winograd's F(2x2, 3x3).
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from bench.floats import FACTORIES, FloatNetwork, float_network
from bitwright.artifact import load
from bitwright.engine import Engine
from bitwright.quantization import quantize
from bitwright.recipe import Recipe

USUAL = "w8a8"


def artifact(network: FloatNetwork, recipe: str, folder: Path) -> Path:
    """The file of a network at a recipe's widths; made once."""
    path = folder / f"{network.name}.{recipe}.plain"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        plain = replace(Recipe.parse(recipe), algorithms=())
        quantize(network.model, network.images, preprocess=network.preprocess, recipe=plain).save(path)
    return path


def by_winograd(engine: Engine) -> float:
    """The share of the multiply-adds."""
    steps = engine.explain()
    return sum(step.macs for step in steps if "Winograd" in step.kernel) / sum(step.macs for step in steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=FACTORIES, default=["resnet18", "resnet50", "densenet121"])
    parser.add_argument("--recipes", nargs="+", default=["w7a6", "w6a6", "w4a4"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--models", type=Path, default=Path("build/bench"), help="where artifacts are kept")
    args = parser.parse_args()
    print("| network | threads | recipe | ms | of w8a8 | by Winograd |", "| --- " * 6 + "|", sep="\n")
    for name in args.networks:
        network = float_network(name)
        image = network.images[:1]
        files = {recipe: artifact(network, recipe, args.models) for recipe in (USUAL, *args.recipes)}
        for recipe, file in files.items():
            expected = Engine(load(file), backend="reference")(image)
            if Engine(load(file))(image).tobytes() != expected.tobytes():
                raise SystemExit(f"{name}, {recipe}: native and reference differ")
        for threads in args.threads:
            engines = {recipe: Engine(load(file), threads=threads) for recipe, file in files.items()}
            least: dict[str, list[float]] = {recipe: [] for recipe in engines}
            for _ in range(args.rounds):
                for recipe, engine in engines.items():
                    least[recipe].append(min(seconds(engine, image) for _ in range(args.repeats)))
            for recipe, found in least.items():
                ratio = median(np.array(found) / np.array(least[USUAL]))
                ms = f"{1e3 * median(found):.2f} ({1e3 * min(found):.2f})"
                share = f"{100 * by_winograd(engines[recipe]):.0f} %"
                print(f"| {name} | {threads} | {recipe} | {ms} | {ratio:.2f} | {share} |", flush=True)


def seconds(engine: Engine, image: npt.NDArray[np.uint8]) -> float:
    begin = time.perf_counter()
    engine(image)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
