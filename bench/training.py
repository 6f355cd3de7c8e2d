"""What quantization adds to a step of training: `python -m bench.training [--threads N]`.

Steps of CIFAR-10's ResNet-20 with projections on batches of 128 random images: the float network in float32 and by bfloat16
autocast, and what `prepare_qat` makes of it, by bfloat16 autocast too. All take turns. Printed are images a second
(the median of the rounds), and the ratio to the faster float network.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import nn
from torch.nn import functional as F

import bitwright as bw
from bitwright.zoo import cifar_resnet20_proj

BATCH = 128
RECIPES = {"w4a4": "lsq", "w2a2": "lsq", "w1a8": "react", "w1a1": "react"}


def step_of(model: nn.Module, amp: bool) -> Callable[[], None]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH, 3, 32, 32, generator=generator).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (BATCH,), generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=amp):
            loss = F.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def quantized(recipe: str, training: str) -> nn.Module:
    images = torch.randint(0, 256, (256, 32, 32, 3), dtype=torch.uint8).numpy()
    pre = bw.Preprocess(size=32, mean=0.5, std=0.25)
    model = cifar_resnet20_proj()
    return bw.prepare_qat(model, preprocess=pre, recipe=recipe, training=training, images=images).train()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    network = cifar_resnet20_proj().to(memory_format=torch.channels_last).train()
    steps = {"float32": step_of(network, False), "bfloat16": step_of(network, True)}
    steps |= {f"{recipe} by {name}": step_of(quantized(recipe, name), True) for recipe, name in RECIPES.items()}
    rates: dict[str, list[float]] = {name: [] for name in steps}
    for i in range(given.rounds + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if i:  # the first round warms up
                rates[name].append(BATCH / (time.perf_counter() - start))
    best = max(median(rates["float32"]), median(rates["bfloat16"]))
    for name, seen in rates.items():
        print(f"{name:15} {median(seen):7.0f} images/s  {median(seen) / best:5.2f}")


if __name__ == "__main__":
    main()
