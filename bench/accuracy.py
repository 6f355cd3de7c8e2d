"""Accuracy of integer models on real images: runs the command of every row and writes docs/accuracy.md.

    python -m bench.accuracy DATA [--only NAME ...] [--write]

DATA is the folder with `cifar10-train.npz` and `cifar10-test.npz`, `mnist/`, `imagenet-samples/`, `tiny-imagenet/` and
`models/`. Each row is one `bitwright quantize ... --test ...`; what it prints with `--json` becomes the table.
What was measured is kept in the file `--kept`, so that an interrupted run goes on where it stood; `--only` measures these anew.
`--write` puts the tables into the page; what `bench.defaults` wrote there stays.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.arguments import existing
from bitwright.files import write_atomically

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "accuracy.md"
START = "<!-- bench.defaults: begin -->"
CIFAR = "--data cifar10-train.npz --calibrate 512 --test cifar10-test.npz"
SAMPLES = "--data 'imagenet-samples/sample1000.csv[::5]' --test 'imagenet-samples/sample1000.csv[!::5]'"
HEAD = """# Accuracy

Every figure is of the integer model, run by the engine, on real images that it was not calibrated on; percent top-1. No
label is used. `python -m bench.accuracy DATA --write` measures it again; a row's command, run in DATA, gives that row.

Corrections see images that are drawn at random over all that were given, by the seed and the pixels alone, so that the order
of the images makes no difference. What a correction does to the integer logits is measured on up to 448 other calibration
images, and what does not help, by 0.2 dB at least, is undone: `equalize: 21.5 -> 9.7 dB, KL 0.012 -> 0.3, undone`. The
provenance keeps that, `quantize` prints it. The SQNR and the KL divergence of the classes judge together, as either alone is
fooled by few images. A slow correction such as `adaround` is tried beside the best choice of the quick ones and beside all of
them: at w6a8 it makes good for what `equalize` costs MobileNetV2 by itself, at w4a8 it does not.
Without images (data-free) there is nothing to measure on: all corrections are kept, and the provenance has no such record.

| network | recipe | images | float | integer | drop | agreement | float bytes | artifact bytes |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True)
class Row:
    """A network, and the arguments of `bitwright quantize` for it."""

    network: str
    arguments: str

    @property
    def command(self) -> str:
        return f"bitwright quantize {self.arguments} -o {self.network}.bw.safetensors"


ROWS = (
    Row("resnet20", f"bitwright.zoo:cifar_resnet20 --weights models/cifar10-resnet20.safetensors {CIFAR}"),
    Row(
        "resnet20-proj", f"bitwright.zoo:cifar_resnet20_proj --weights models/cifar10-resnet20-proj.safetensors {CIFAR}"
    ),
    Row("resnet8", f"bitwright.zoo:cifar_resnet8 --weights models/cifar10-resnet8.safetensors {CIFAR}"),
    Row("resnet32", f"bitwright.zoo:cifar_resnet32 --weights models/cifar10-resnet32.safetensors {CIFAR}"),
    Row(
        "shufflenetv2",
        f"bench.models:cifar_shufflenet_v2_x0_5 --weights models/cifar10-shufflenetv2_x0_5.safetensors {CIFAR}",
    ),
    Row("nin", f"bitwright.zoo:cifar_nin --weights models/cifar10-nin.safetensors {CIFAR}"),
    Row(
        "lenet",
        "bitwright.zoo:mnist_lenet --weights models/mnist-lenet.safetensors --calibrate 512 "
        "--data mnist/train-images-idx3-ubyte.gz --test mnist/t10k-images-idx3-ubyte.gz",
    ),
    Row("squeezenet", f"torchvision:squeezenet1_1 --weights models/imagenet-squeezenet1_1.safetensors {SAMPLES}"),
    Row("darknet", f"bitwright.zoo:darknet_tiny --weights models/imagenet-darknet-tiny.safetensors {SAMPLES}"),
    Row(
        "mobilenetv2",
        "bench.models:tinyimagenet_mobilenet_v2 --weights models/tinyimagenet-mobilenetv2.safetensors "
        "--calibrate 1000 --data tiny-imagenet/train1000.csv --test tiny-imagenet/val2000.csv",
    ),
    Row(
        "efficientnet-lite0",
        "bench.models:efficientnet_lite0 --weights models/imagenet-efficientnet_lite0.safetensors "
        "--data 'imagenet-samples/sample1000.csv[::4]' --test 'imagenet-samples/sample1000.csv[!::4]'",
    ),
    Row(
        "vit-tiny",
        "bench.models:vit_tiny --weights models/imagenet-vit_tiny.safetensors "
        "--data 'imagenet-samples/sample1000.csv[::10]' --test 'imagenet-samples/sample1000.csv[!::10]'",
    ),
)


PROJ = "bitwright.zoo:cifar_resnet20_proj --weights models/cifar10-resnet20-proj.safetensors " + CIFAR.replace(
    "512", "1024"
)
METHODS = (
    Row("w4a8-minmax", f"{PROJ} --recipe w4a8 --range minmax --algorithms none"),
    Row("w4a8-mse", f"{PROJ} --recipe w4a8 --algorithms none"),
    Row("w4a8-equalize-bias_correct", f"{PROJ} --recipe w4a8 --algorithms equalize,bias_correct"),
    Row("w4a8-adaround", f"{PROJ} --recipe w4a8"),
    Row("w4a8-reconstruct", f"{PROJ} --recipe w4a8 --algorithms equalize,reconstruct"),
    Row("w8a8", PROJ),
    Row("w4a4-quick", f"{PROJ} --recipe w4a4 --effort quick"),
    Row("w4a4", f"{PROJ} --recipe w4a4"),
    Row("w4a4-best", f"{PROJ} --recipe w4a4 --effort best"),
    Row("w3a8", f"{PROJ} --recipe w3a8"),
    Row("w3a8-best", f"{PROJ} --recipe w3a8 --effort best"),
    Row("w2a8", f"{PROJ} --recipe w2a8 --algorithms equalize,reconstruct"),
)
METHODS_HEAD = """
## Methods

ResNet-20 with projections, 1,024 images to calibrate on, 10,000 to test on. The constants of `reconstruct` were
chosen on 5,000 training images that were not calibrated on, those of `entropy` with test images in view.

`--effort quick` stands for `equalize,bias_correct`, `normal` for what the recipe says, and `best` for
`equalize,reconstruct,bias_correct,finetune_scales`: blocks are learned, then all scales by the loss against the float model's
logits. What does not help is undone at each. `best` learns for 15 minutes at most, or `--minutes`, beside what is computed
(`adaround`, which it begins with, and measuring); where that is too short for all steps they become fewer, spread over the
blocks, and the result then depends on the machine. Beside other work on both cores the commands below took 2, 5 and 8
minutes at w4a4 with the test images, and the limit cut nothing short.

| recipe and method | float | integer | drop | agreement |
| --- | --- | --- | --- | --- |
"""

IMAGENET = {row.network: row.arguments for row in ROWS}
FEWER = (
    Row("squeezenet-w4a8", f"{IMAGENET['squeezenet']} --recipe w4a8"),
    Row("mobilenetv2-w6a8", f"{IMAGENET['mobilenetv2']} --recipe w6a8"),
    Row("mobilenetv2-w4a8", f"{IMAGENET['mobilenetv2']} --recipe w4a8"),
)
FEWER_HEAD = """
## Fewer bits for larger networks

SqueezeNet on 800 images, MobileNetV2 on 2,000, calibrated as in the first table.

| recipe and method | float | integer | drop | agreement |
| --- | --- | --- | --- | --- |
"""

ENCODERS_HEAD = """
## The image as bits

The same network and images at w8a8, not trained again: its first layer reads bits, `NAME-N` planes a channel
(`threshold` and `dither`: one).

| encoder | float | integer | drop | agreement |
| --- | --- | --- | --- | --- |
"""
ENCODED = tuple(
    Row(spec.replace(":", "-"), f"{PROJ} --encoder {spec}")
    for spec in (
        *(
            "bitplanes:8",
            "bitplanes:6",
            "bitplanes:4",
            "thermometer:63",
            "thermometer:31",
            "thermometer:15",
            "thermometer:7",
        ),
        *("threshold:128", "threshold:otsu", "dither"),
    )
)
TABLES = ((METHODS, METHODS_HEAD), (FEWER, FEWER_HEAD), (ENCODED, ENCODERS_HEAD))


def measure(row: Row, data: Path) -> dict[str, Any]:
    """Run a row's command in `data`, with the artifact in a temporary folder; returns the record it prints."""
    with tempfile.TemporaryDirectory() as folder:
        words = shlex.split(row.command)[1:]
        words[-1] = str(Path(folder) / words[-1])
        command = [sys.executable, "-m", "bench.with_torchvision", *words, "--json"]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(command, cwd=data, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def table(records: dict[str, dict[str, Any]]) -> str:
    """The page: a row for each network, then the commands."""
    lines = []
    for name, record in records.items():
        measured = record["measured"]
        drop = measured["float_top1"] - measured["top1"]
        cells = [name, record["provenance"]["recipe"]["name"], f"{measured['images']:,}"]
        cells += [f"{value:.2f}" for value in (measured["float_top1"], measured["top1"], drop, measured["agreement"])]
        cells += [f"{record['float_bytes']:,}", f"{record['bytes']:,}"]
        lines.append(f"| {' | '.join(cells)} |\n")
    commands = "\n".join(row.command for row in ROWS if row.network in records)
    return f"{HEAD}{''.join(lines)}\n```\n{commands}\n```\n"


def variants(records: dict[str, dict[str, Any]], rows: tuple[Row, ...], head: str) -> str:
    """A further table: one network in several ways, then the commands."""
    lines = []
    for name in [row.network for row in rows if row.network in records]:
        measured = records[name]["measured"]
        figures = (
            measured["float_top1"],
            measured["top1"],
            measured["float_top1"] - measured["top1"],
            measured["agreement"],
        )
        lines.append(f"| {' | '.join([name, *(f'{figure:.2f}' for figure in figures)])} |\n")
    commands = "\n".join(row.command for row in rows if row.network in records)
    return f"{head}{''.join(lines)}\n```\n{commands}\n```\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=existing)
    everything = (*ROWS, *(row for rows, _ in TABLES for row in rows))
    parser.add_argument("--only", nargs="+", choices=[row.network for row in everything])
    parser.add_argument("--kept", type=Path, default=Path("accuracy.json"))
    parser.add_argument("--write", action="store_true", help="put the tables into docs/accuracy.md")
    arguments = parser.parse_args()
    records: dict[str, dict[str, Any]] = json.loads(arguments.kept.read_text()) if arguments.kept.exists() else {}
    for row in everything:
        if row.network in (arguments.only or ()) or (arguments.only is None and row.network not in records):
            print(row.command, file=sys.stderr, flush=True)
            records[row.network] = measure(row, arguments.data)
            write_atomically(arguments.kept, json.dumps(records, indent=1).encode())
    page = table({row.network: records[row.network] for row in ROWS if row.network in records})
    page += "".join(
        variants(records, rows, head) for rows, head in TABLES if any(row.network in records for row in rows)
    )
    print(page)
    if arguments.write:
        _, found, rest = PAGE.read_text("utf-8").partition(START)
        PAGE.write_text(page + (f"\n{START}{rest}" if found else ""), "utf-8")


if __name__ == "__main__":
    main()
