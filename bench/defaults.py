"""Whether the defaults are as good as the best choice of corrections: `python -m bench.defaults DATA`.

For each network, w8a8 with every subset of the default corrections, all kept, and with the defaults, which keep what helps;
the SQNR of the integer model's logits on images that were not calibrated on:
    SQNR = 10 log10 (sum y**2 / sum (y - y_q)**2) dB,  y the float model's logits
Networks are those of DATA with their weights, and torchvision's with random ones: the smallest of each family, or `--all`.
What was measured is kept in the file `--kept`, so that an interrupted run goes on where it stood; `--write` puts the table
into docs/accuracy.md.
"""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import bitwright as bw
from bench.accuracy import PAGE, ROWS, START
from bench.arguments import existing
from bench.floats import IMAGENET
from bench.with_torchvision import torchvision
from bitwright.cli.float_model import open_model
from bitwright.errors import BitwrightError
from bitwright.files import write_atomically
from bitwright.recipe import Recipe

END = "<!-- bench.defaults: end -->"
CORRECTIONS = Recipe().algorithms
SUBSETS = [subset for n in range(len(CORRECTIONS) + 1) for subset in combinations(CORRECTIONS, n)]
ALLOWED_DB = 0.3
SMALLEST = (
    *("alexnet", "densenet121", "efficientnet_b0", "googlenet", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small"),
    *(
        "regnet_x_400mf",
        "regnet_y_400mf",
        "resnet18",
        "resnext50_32x4d",
        "shufflenet_v2_x0_5",
        "squeezenet1_1",
        "vgg11_bn",
    ),
)
HEAD = f"""{START}
## The defaults against every choice of corrections

SQNR in dB of the integer logits at w8a8, on images that were not calibrated on (up to {{test}}, after up to {{calibrate}});
torchvision has random weights, and 200 images, of which 72 judge. `default` keeps what helps on held-out calibration
images. The last column is what the defaults are below the best subset; {ALLOWED_DB} is allowed. Where so few images judge,
the choice is chance: the SQNR of MobileNetV3-small's `bias_correct` is 15.4 dB on one half of the images that it is
tested on, and 14.4 on the other.
`python -m bench.defaults DATA --write` measures it again.

| network | none | {{names}} | default | undone | below the best |
| --- | --- | {{lines}} | --- | --- | --- |
"""
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Network:
    """A float model, how to preprocess for it, and the specs of images to calibrate and to test on."""

    name: str
    model: Callable[[], tuple[nn.Module, bw.Preprocess]]
    calibrate: str
    test: str


def networks(data: Path, everything: bool, every: int) -> list[Network]:
    """Those of docs/accuracy.md, then torchvision's, which see every so manieth picture, and are tested on the next ones."""
    found = []
    for row in ROWS:
        words = shlex.split(row.arguments)
        option = dict(zip(words[1::2], words[2::2], strict=True))
        found.append(Network(row.network, partial(_trained, words, data), option["--data"], option["--test"]))
    names = torchvision.models.list_models(module=torchvision.models) if everything else SMALLEST
    samples = "imagenet-samples/sample1000.csv"
    return found + [
        Network(f"{n}, random", partial(_random, n), f"{samples}[::{every}]", f"{samples}[1::{every}]") for n in names
    ]


def _trained(words: list[str], data: Path) -> tuple[nn.Module, bw.Preprocess]:
    option = dict(zip(words[1::2], words[2::2], strict=True))
    loaded = open_model(words[0], data / option["--weights"])
    assert loaded.preprocess is not None
    return loaded.float_model.module, loaded.preprocess


def _random(name: str) -> tuple[nn.Module, bw.Preprocess]:
    torch.manual_seed(0)
    side = 299 if name == "inception_v3" else 224
    model: nn.Module = torchvision.models.get_model(name, weights=None).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias, 0, 0.2)
            nn.init.uniform_(module.weight, 0.7, 1.3)
    return model, bw.Preprocess(size=side, mean=IMAGENET["mean"], std=IMAGENET["std"])


def settle(model: nn.Module, x: torch.Tensor) -> None:
    """Give batch norms the statistics of some images: those of random weights are none."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    with torch.no_grad():
        model(x)
    model.eval()


def measure(network: Network, data: Path, calibrate: int, test: int) -> dict[str, Any]:
    """SQNR in dB for every subset and for the defaults, and what was undone; or why there is none."""
    model, preprocess = network.model()
    fitted, tested = (
        _pixels(data, spec, preprocess, n) for spec, n in ((network.calibrate, calibrate), (network.test, test))
    )
    if network.name.endswith("random"):
        settle(model, torch.from_numpy(preprocess.normalise(fitted[:16])))
    with torch.no_grad():
        expected = np.concatenate(
            [
                model(torch.from_numpy(preprocess.normalise(tested[i : i + 16]))).numpy()
                for i in range(0, len(tested), 16)
            ]
        )
    found: dict[str, Any] = {}
    try:
        for subset in SUBSETS:
            artifact = bw.quantize(model, fitted, preprocess=preprocess, recipe=Recipe(algorithms=subset), guard=False)
            found[_named(subset)] = _sqnr_db(artifact, tested, expected)
        artifact = bw.quantize(model, fitted, preprocess=preprocess)
    except BitwrightError as error:
        return {"error": str(error).splitlines()[0][:200]}
    found["default"] = _sqnr_db(artifact, tested, expected)
    found["undone"] = [v["name"] for v in artifact.provenance["calibration"]["corrections"] if not v["kept"]]
    return found


def _pixels(data: Path, spec: str, preprocess: bw.Preprocess, count: int) -> Pixels:
    base, bracket, part = spec.partition("[")
    source = bw.open_source(f"{data / base}{bracket}{part}")
    batches = source.sample(min(count, len(source)), seed=0).batches(preprocess, 32)
    return np.concatenate([batch.images for batch in batches])


def _sqnr_db(artifact: bw.Artifact, images: Pixels, expected: npt.NDArray[np.float32]) -> float:
    noise = np.square(bw.Engine(artifact)(images).astype(np.float64) - expected).sum()
    return round(10 * float(np.log10(np.square(expected.astype(np.float64)).sum() / noise)), 2)


def _named(subset: tuple[str, ...]) -> str:
    return ", ".join(subset) or "none"


def table(kept: dict[str, Any], calibrate: int, test: int) -> str:
    """The section of docs/accuracy.md."""
    names = [_named(subset) for subset in SUBSETS[1:]]
    lines = []
    for name, found in kept.items():
        if "error" in found:
            lines.append(f"| {name} | not captured: {found['error']} |" + " |" * (len(names) + 3))
            continue
        best = max(found[_named(subset)] for subset in SUBSETS)
        cells = [name, *(f"{found[_named(subset)]:.1f}" for subset in SUBSETS), f"{found['default']:.1f}"]
        below = max(best - found["default"], 0)
        lines.append(f"| {' | '.join([*cells, ', '.join(found['undone']), f'{below:.2f}'])} |")
    head = HEAD.format(test=test, calibrate=calibrate, names=" | ".join(names), lines=" | ".join(["---"] * len(names)))
    return head + "\n".join(lines) + f"\n{END}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=existing)
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument(
        "--all", action="store_true", help="every classifier of torchvision, not the smallest of each family"
    )
    parser.add_argument(
        "--every", type=int, default=5, help="random networks are calibrated on every so manieth picture"
    )
    parser.add_argument("--calibrate", type=int, default=512, help="as many as `bitwright quantize` takes")
    parser.add_argument("--test", type=int, default=512)
    parser.add_argument("--kept", type=Path, default=Path("defaults.json"))
    parser.add_argument("--write", action="store_true", help="put the table into docs/accuracy.md")
    args = parser.parse_args()
    kept: dict[str, Any] = json.loads(args.kept.read_text()) if args.kept.exists() else {}
    for network in networks(args.data, args.all, args.every):
        if network.name in kept or (args.only and network.name not in args.only):
            continue
        start = time.monotonic()
        kept[network.name] = measure(network, args.data, args.calibrate, args.test)
        print(f"{network.name}: {kept[network.name]}, {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
        write_atomically(args.kept, json.dumps(kept, indent=1).encode())
    text = table(kept, args.calibrate, args.test)
    print(text)
    if args.write:
        page = PAGE.read_text("utf-8")
        before, _, rest = page.partition(START)
        PAGE.write_text(before.rstrip() + "\n\n" + text + rest.partition(END)[2].lstrip("\n"), "utf-8")


if __name__ == "__main__":
    main()
