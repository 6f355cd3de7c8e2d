"""Training of the small network, with augmentation; the same seed gives the same weights on the same machine."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import bitwright as bw
from bitwright.images.sources import ImageSource

BATCH = 64
DEGREES, SCALE, SHIFT = 12.0, 0.12, 0.1


def train(
    model: nn.Module,
    source: ImageSource,
    preprocess: bw.Preprocess,
    *,
    epochs: int,
    seed: int = 0,
    progress: Callable[[int, float], None] | None = None,
) -> None:
    """Train in place with SGD, one cycle of learning rate and label smoothing; `progress` gets each epoch and its loss."""
    torch.manual_seed(seed)
    batches = list(source.batches(preprocess, BATCH, strict=True))
    x = torch.from_numpy(preprocess.normalise(np.concatenate([batch.images for batch in batches])))
    y = torch.from_numpy(source.labels)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = epochs * math.ceil(len(x) / BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=steps)
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for chosen in torch.randperm(len(x)).split(BATCH):
            loss = F.cross_entropy(model(augment(x[chosen])), y[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(chosen)
        if progress is not None:
            progress(epoch + 1, total / len(x))
    model.eval()


def augment(x: Tensor) -> Tensor:
    """Rotate, scale and shift each image [N, C, H, W] by chance; what comes in from outside repeats the border."""
    n = len(x)
    angle = (torch.rand(n) * 2 - 1) * math.radians(DEGREES)
    scale = 1 + (torch.rand(n) * 2 - 1) * SCALE
    shift = (torch.rand(n, 2) * 2 - 1) * SHIFT
    cos, sin = angle.cos() * scale, angle.sin() * scale
    affine = torch.stack([torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1)
    grid = F.affine_grid(affine, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)
