"""What quantization adds to a step of training: `python -m bench.training [--threads N]`.

Steps of `bitwright train` (its loop: batches in order, crop and flip, loss, backward, optimizer) for ResNet-20 on CIFAR-10's
shapes, random images, batches of 128. The float network takes the same steps, on channels_last tensors, in float32 and by
bfloat16 autocast. All take turns of three steps. Printed are images a second (the median), and the ratio to the faster float
network of the same architecture. `--distill` adds rows with the float network as teacher.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

import bitwright as bw
from bitwright.images.sources import ImageSource
from bitwright.images.sources.readers import ArrayReader
from bitwright.progress import SILENT
from bitwright.training.augmentation import augment
from bitwright.training.loop import Loop, _Forward
from bitwright.training.loss import Loss
from bitwright.training.optimizer import optimizer_of
from bitwright.training.options import Options
from bitwright.training.pixels import Pixels
from bitwright.zoo import cifar_react20, cifar_resnet20_proj

ROWS = [
    (cifar_resnet20_proj, "w4a4", "lsq"),
    (cifar_resnet20_proj, "examples/cifar10/w2a2.toml", "lsq"),
    (cifar_resnet20_proj, "w1a8", "react"),
    (cifar_resnet20_proj, "w1a1", "react"),
    (cifar_react20, "w1a1", "react"),
]
TURN = 3
AUGMENT = ("crop", "flip")
CPU = torch.device("cpu")
Step = Callable[[int], object]


def pixels_of(factory: Any) -> Pixels:
    rng = np.random.RandomState(0)
    images = rng.randint(0, 256, (4096, 32, 32, 3), np.uint8)
    return Pixels(ImageSource(ArrayReader(images, "random"), "random", rng.randint(0, 10, 4096)), factory.preprocess)


def float_step(factory: Any, amp: bool) -> Step:
    """A step of the float network, as the loop's steps are."""
    loop = Loop(Options(amp=amp, augment=AUGMENT), pixels_of(factory), CPU, None, None, SILENT, ("float",))
    model = factory().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, nesterov=True, fused=True)
    scale, offset = (torch.from_numpy(v).float().reshape(1, -1, 1, 1) for v in factory.preprocess.affine())

    def step(i: int) -> None:
        images, labels = loop._batch(0, i)
        mixed = augment(images, labels, AUGMENT, torch.Generator().manual_seed(i))
        with loop._autocast():
            logits = model(mixed.images.permute(0, 3, 1, 2).float() * scale + offset).float()
            loss = F.cross_entropy(logits, mixed.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        float(loss.detach()), int((logits.argmax(1) == mixed.labels).sum())

    return step


def quantized_step(factory: Any, recipe: str, training: str, distill: float) -> Step:
    """A step of the loop."""
    options, pixels = Options(lr=1e-4, distill=distill, augment=AUGMENT), pixels_of(factory)
    images = pixels.batch(torch.arange(256))[0].numpy()
    prepared = bw.prepare_qat(
        factory(), preprocess=factory.preprocess, recipe=recipe, training=training, images=images
    ).train()
    loop = Loop(options, pixels, CPU, None, None, SILENT, (recipe,))
    optimizer, loss_of = optimizer_of(prepared, options), _Forward(Loss(prepared, prepared, options, None))

    def step(i: int) -> object:
        prepared.set_progress(0.5)
        return loop._step(optimizer, loss_of, 0, i)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--distill", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    steps: dict[tuple[str, str], Step] = {}
    for factory in (cifar_resnet20_proj, cifar_react20):
        steps[factory.__name__, "float32"] = float_step(factory, False)
        steps[factory.__name__, "bfloat16"] = float_step(factory, True)
    for factory, recipe, training in ROWS:
        for distill in (0.0, 0.8) if given.distill else (0.0,):
            name = f"{recipe} by {training}{', with a teacher' if distill else ''}"
            steps[factory.__name__, name] = quantized_step(factory, recipe, training, distill)
    rates: dict[tuple[str, str], list[float]] = {key: [] for key in steps}
    for i in range(given.rounds):
        for key, step in steps.items():
            for k in range(TURN + 1):
                start = time.perf_counter()
                step(i * (TURN + 1) + k)
                if k:  # the first step of a turn finds the memory as others left it
                    rates[key].append(128 / (time.perf_counter() - start))
    for (network, name), seen in rates.items():
        best = max(median(rates[network, kind]) for kind in ("float32", "bfloat16"))
        print(f"{network:20} {name:45} {median(seen):6.0f} images/s {median(seen) / best:5.2f}")


if __name__ == "__main__":
    main()
