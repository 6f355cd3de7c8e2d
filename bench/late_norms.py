"""Batch norms that stand behind the activation, where no convolution can take them in: `python -m bench.late_norms DATA`.

Two small networks, trained here on CIFAR-10 (a few epochs; --epochs), their weights kept in the folder --state:

    halves   depthwise 3x3, batch norm, 1x1, relu, batch norm: every second half is linear
    mixer    ConvMixer (Trockman and Kolter 2022): GELU, then batch norm, behind depthwise 5x5 with a shortcut and behind 1x1

Each is quantized at w8a8 and w4a8 from 1,024 training images and measured on the 10,000 test images, as an integer model.
"""

import argparse
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

import bitwright as bw
from bench.arguments import existing

PREPROCESS = bw.Preprocess(size=32, mean=(0.4914, 0.4822, 0.4465), std=(0.247, 0.2435, 0.2616))
BATCH, CALIBRATION = 128, 1024


class Shortcut(nn.Sequential):
    """x + what these modules make of x."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


def halves() -> nn.Module:
    def half(channels: int, out: int, stride: int) -> list[nn.Module]:
        depthwise = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)
        return [depthwise, nn.BatchNorm2d(channels), nn.Conv2d(channels, out, 1), nn.ReLU(), nn.BatchNorm2d(out)]

    widths = ((32, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1))
    body = [module for channels, out, stride in widths for module in half(channels, out, stride)]
    stem = [nn.Conv2d(3, 32, 3, 1, 1), nn.ReLU(), nn.BatchNorm2d(32)]
    return nn.Sequential(*stem, *body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10))


def mixer(width: int = 96, depth: int = 4) -> nn.Module:
    def late(convolution: nn.Module) -> list[nn.Module]:
        return [convolution, nn.GELU(), nn.BatchNorm2d(width)]

    blocks: list[nn.Module] = []
    for _ in range(depth):
        blocks.append(Shortcut(*late(nn.Conv2d(width, width, 5, groups=width, padding="same"))))
        blocks += late(nn.Conv2d(width, width, 1))
    return nn.Sequential(
        *late(nn.Conv2d(3, width, 2, 2)), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)
    )


NETWORKS: dict[str, Callable[[], nn.Module]] = {"halves": halves, "mixer": mixer}


def batches(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path) as arrays:
        return arrays["images"], arrays["labels"]


def trained(name: str, data: Path, state: Path, epochs: int) -> nn.Module:
    """The network with weights from `state`, or trained now: SGD with one cycle, crops and flips, bfloat16 products."""
    torch.manual_seed(0)
    model, kept = NETWORKS[name](), state / f"{name}-{epochs}.safetensors"
    if kept.exists():
        model.load_state_dict(load_file(kept))
        return model.eval()
    images, labels = batches(data / "cifar10-train.npz")
    model = model.to(memory_format=torch.channels_last).train()
    steps = epochs * (len(images) // BATCH)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=steps)
    order = np.random.RandomState(0)
    for step in range(steps):
        rows = order.randint(0, len(images), BATCH)
        x = torch.from_numpy(PREPROCESS.normalise(images[rows]))
        top, left = order.randint(0, 9, 2)
        x = F.pad(x, (4, 4, 4, 4))[:, :, top : top + 32, left : left + 32]
        x = x.flip(3) if order.rand() < 0.5 else x
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(x.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), torch.from_numpy(labels[rows].astype(np.int64)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(f"{name}: step {step:,} of {steps:,}, loss {loss.item():.3f}", flush=True)
    state.mkdir(parents=True, exist_ok=True)
    save_file({key: tensor.contiguous() for key, tensor in model.state_dict().items()}, kept)
    return model.eval()


def measured(name: str, model: nn.Module, data: Path, recipe: str) -> dict[str, object]:
    """Accuracy of the float model and of its integers on the test images, percent, and how often the two agree."""
    images, labels = batches(data / "cifar10-test.npz")
    fit, _ = batches(data / "cifar10-train.npz")
    artifact = bw.quantize(model, fit[:CALIBRATION], preprocess=PREPROCESS, recipe=recipe)
    with torch.no_grad():
        found = [model(torch.from_numpy(PREPROCESS.normalise(part))) for part in np.array_split(images, 100)]
    floats, integers = torch.cat(found).argmax(1).numpy(), bw.Engine(artifact)(images).argmax(1)
    right, kept = 100 * float(np.mean(floats == labels)), 100 * float(np.mean(integers == labels))
    agreement = 100 * float(np.mean(floats == integers))
    row = {"network": name, "recipe": recipe, "float": right, "integer": kept, "drop": right - kept}
    return {key: round(x, 2) if isinstance(x, float) else x for key, x in {**row, "agreement": agreement}.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=existing)
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--recipes", nargs="*", default=["w8a8", "w4a8"])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--state", type=Path, default=Path("build/late_norms"))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in given.networks:
        model = trained(name, given.data, given.state, given.epochs)
        for recipe in given.recipes:
            print(json.dumps(measured(name, model, given.data, recipe)), flush=True)


if __name__ == "__main__":
    main()
