"""Networks of torchvision and timm, exported by torch.onnx and read back: `python -m bench.onnx [--exporter dynamo] NAME ...`.

For each network and exporter: whether the graph after fusion has the same ops on the same inputs, and whether the integer model
of the same calibration gives the same integers as the one that torch.export's capture gives.
"""

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import bitwright as bw
from bench import with_torchvision  # noqa: F401 - where its operators do not load
from bitwright.capture import fuse
from bitwright.capture.quiet import quiet
from bitwright.engine import Engine
from bitwright.errors import BitwrightError
from bitwright.graph import Graph
from bitwright.models import load_model

EXPORTERS = ("dynamo", "older")
NETWORKS = (
    "alexnet:64", "vgg11_bn:32", "resnet18:64", "resnet50:64", "resnext50_32x4d:64", "wide_resnet50_2:64",
    "squeezenet1_0:64", "squeezenet1_1:64", "densenet121:64", "googlenet:64", "inception_v3:96", "mobilenet_v2:64",
    "mobilenet_v3_small:64", "mobilenet_v3_large:64", "mnasnet0_5:64", "mnasnet1_0:64", "shufflenet_v2_x0_5:64",
    "shufflenet_v2_x1_0:64", "efficientnet_b0:64", "efficientnet_v2_s:64", "regnet_y_400mf:64", "regnet_x_400mf:64",
    "convnext_tiny:64", "vit_b_32:64", "timm:vit_tiny_patch16_224:224", "timm:deit_tiny_patch16_224:224",
    "timm:tf_efficientnet_lite0:64", "timm:ghostnet_100:64", "timm:mobilenetv4_conv_small:64", "timm:repvgg_a0:64",
    "timm:resnet26d:64", "timm:mixer_s32_224:224", "timm:poolformer_s12:64",
)  # fmt: skip
"""With the side of their images: small ones are enough to compare integers."""


@dataclass(frozen=True)
class Row:
    """What became of one network: an error, or whether graph and integers are the same, and how far the float logits are."""

    name: str
    exporter: str
    error: str = ""
    same_graph: bool = False
    same_integers: bool = False
    difference: float = 0.0

    def __str__(self) -> str:
        if self.error:
            return f"| {self.name} | {self.exporter} | {self.error:.90} | | |"
        same = " | ".join(("no", "yes")[same] for same in (self.same_graph, self.same_integers))
        return f"| {self.name} | {self.exporter} | {same} | {self.difference:.1e} |"


def network(spec: str) -> nn.Module:
    """A network with random weights from a fixed seed, and batch norms that have seen something."""
    torch.manual_seed(0)
    model = load_model(spec if ":" in spec else f"torchvision:{spec}").model
    assert isinstance(model, nn.Module)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


def export(model: nn.Module, shape: tuple[int, int, int], path: Path, exporter: str, opset: int = 18) -> None:
    """Write a module to a file, its batch free and its weights as they are."""
    example = torch.zeros(2, *shape)
    how: dict[str, Any] = {"input_names": ["images"], "output_names": ["logits"], "opset_version": opset}
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exporter == "dynamo":
            batch = {0: torch.export.Dim("batch")}
            torch.onnx.export(
                model, (example,), str(path), dynamo=True, dynamic_shapes=(batch,), external_data=False, optimize=False,
                verbose=False, **how,
            )  # fmt: skip
        else:
            how |= {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
            how |= {"dynamic_axes": {"images": {0: "batch"}}}
            torch.onnx.export(model, (example,), str(path), dynamo=False, **how)


def described(graph: Graph) -> list[Any]:
    """A graph without its names: ops, where their inputs come from, and shapes."""
    places = {name: i for i, name in enumerate([*graph.inputs, *(node.name for node in graph.nodes)])}
    return [(n.op, [places[i] for i in n.inputs], graph.values[n.name].shape, sorted(n.tensors)) for n in graph.nodes]


def compare(name: str, side: int, exporters: list[str]) -> Iterator[Row]:
    """One row for each exporter."""
    shape = (3, side, side)
    model = network(name)
    try:
        reference = fuse(bw.float_model(model).capture(shape).graph)
    except BitwrightError as error:
        yield Row(name, "torch.export", str(error).splitlines()[0])
        return
    pixels = np.random.default_rng(0).integers(0, 256, (8, side, side, 3), np.uint8)
    preprocess = bw.Preprocess(size=side, mean=0.5, std=0.25)
    artifact = quantized(model, pixels, preprocess)
    images = preprocess.normalise(pixels)
    for exporter in exporters:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "m.onnx"
            try:
                export(model, shape, path, exporter)
            except Exception as error:  # noqa: BLE001 - torch.onnx raises what it likes
                yield Row(name, exporter, f"torch.onnx: {(str(error).splitlines() or [''])[0]}")
                continue
            try:
                read = load_model(path).float_model
                graph = fuse(read.capture(shape).graph)
                other = quantized(read, pixels, preprocess)
            except BitwrightError as error:
                yield Row(name, exporter, str(error).splitlines()[0].replace(str(path), ""))
                continue
        difference = float(np.abs(read.predict(images) - bw.float_model(model).predict(images)).max())
        same = np.array_equal(Engine(artifact)(pixels), Engine(other)(pixels))
        yield Row(name, exporter, "", described(graph) == described(reference), same, difference)


def quantized(model: Any, pixels: Any, preprocess: bw.Preprocess) -> bw.Artifact:
    with quiet():
        recipe = replace(bw.Recipe.parse("w8a8"), algorithms=())
        return bw.quantize(model, pixels, preprocess=preprocess, recipe=recipe)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=NETWORKS, help="NAME:SIDE, as torchvision or timm: has them")
    parser.add_argument("--exporter", action="append", choices=EXPORTERS)
    given = parser.parse_args()
    rows = []
    print(
        "| network | exporter | same graph | same integers | float logits differ by |\n| --- | --- | --- | --- | --- |"
    )
    for text in given.names:
        name, _, side = text.rpartition(":")
        start = time.monotonic()
        for row in compare(name, int(side), given.exporter or list(EXPORTERS)):
            rows.append(row)
            print(row, flush=True)
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    counted = [row for row in rows if row.exporter in EXPORTERS and not row.error.startswith("torch.onnx:")]
    graphs, integers = sum(row.same_graph for row in counted), sum(row.same_integers for row in counted)
    print(f"\nof {len(counted)} files: {graphs} with the same graph, {integers} with the same integers")


if __name__ == "__main__":
    main()
