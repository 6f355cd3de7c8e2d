"""Augmentation of uint8 batches [N, H, W, C], the same operation on all images at once, each with numbers of its own.

`crop` pads by 4 and cuts at random; `flip` mirrors; `randaugment` draws for each image two of: rotation, shear, shift,
scale, brightness, contrast, colour (Cubuk et al. 2020); `mixup` blends two images (Zhang et al. 2018); `cutmix` puts a
rectangle of one into another (Yun et al. 2019). The last two also give the second label and the share of the first.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

PADDING = 4
GEOMETRY, COLOUR = 4, 3


@dataclass(frozen=True)
class Mixed:
    """Images uint8 [N, H, W, C]; each shows `labels` to the share `lam` and `others` to the rest."""

    images: Tensor
    labels: Tensor
    others: Tensor
    lam: float


def augment(images: Tensor, labels: Tensor, names: tuple[str, ...], generator: torch.Generator) -> Mixed:
    """Augment a batch; `generator` is on the CPU, so that all devices draw the same."""
    if "crop" in names:
        images = crop(images, generator)
    if "flip" in names:
        flipped = torch.rand(len(images), generator=generator) < 0.5
        images = torch.where(flipped.to(images.device)[:, None, None, None], images.flip(2), images)
    if "randaugment" in names:
        images = randaugment(images, generator)
    mixes = [name for name in ("mixup", "cutmix") if name in names]
    if not mixes:
        return Mixed(images, labels, labels, 1.0)
    chosen = mixes[int(torch.randint(len(mixes), (), generator=generator))]
    other = torch.randperm(len(images), generator=generator).to(images.device)
    lam = float(torch.rand((), generator=generator))
    if chosen == "mixup":
        mixed = (lam * images.float() + (1 - lam) * images[other].float()).round().to(torch.uint8)
        return Mixed(mixed, labels, labels[other], lam)
    return _cutmix(images, labels, other, lam, generator)


def crop(images: Tensor, generator: torch.Generator) -> Tensor:
    """Pad each image by zeros and crop it back at a random offset of its own."""
    n, height, width, _ = images.shape
    offset = torch.randint(0, 2 * PADDING + 1, (2, n, 1), generator=generator).to(images.device)
    padded = F.pad(images, (0, 0, PADDING, PADDING, PADDING, PADDING))
    rows = offset[0] + torch.arange(height, device=images.device)
    columns = offset[1] + torch.arange(width, device=images.device)
    return padded[torch.arange(n, device=images.device)[:, None, None], rows[:, :, None], columns[:, None, :]]


def randaugment(images: Tensor, generator: torch.Generator) -> Tensor:
    """One geometric and one colour operation for each image, of random strength."""
    n = len(images)
    draw = (torch.rand(6, n, generator=generator) * 2 - 1).to(images.device)
    kind = torch.randint(GEOMETRY, (n,), generator=generator).to(images.device)
    angle = draw[0] * math.radians(20) * (kind == 0)
    shear, shift, scale = 0.3 * draw[1] * (kind == 1), 0.25 * draw[2] * (kind == 2), 1 + 0.25 * draw[3] * (kind == 3)
    cos, sin, zero = angle.cos() * scale, angle.sin() * scale, torch.zeros_like(angle)
    affine = torch.stack([torch.stack([cos, shear - sin, shift], 1), torch.stack([sin, cos, zero], 1)], 1)
    x = images.permute(0, 3, 1, 2).float()
    grid = F.affine_grid(affine, list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="zeros", align_corners=False)
    kind = torch.randint(COLOUR, (n,), generator=generator).to(images.device)
    strength = (1 + 0.6 * draw[4])[:, None, None, None]
    grey, mean = x.mean(1, keepdim=True), x.mean((1, 2, 3), keepdim=True)
    pivot = torch.stack([torch.zeros_like(x), mean.expand_as(x), grey.expand_as(x)])[kind, torch.arange(n)]
    x = pivot + (x - pivot) * strength
    return x.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def _cutmix(images: Tensor, labels: Tensor, other: Tensor, lam: float, generator: torch.Generator) -> Mixed:
    _, height, width, _ = images.shape
    side = math.sqrt(1 - lam)
    tall, wide = round(height * side), round(width * side)
    top = int(torch.randint(height - tall + 1, (), generator=generator))
    left = int(torch.randint(width - wide + 1, (), generator=generator))
    images = images.clone()
    images[:, top : top + tall, left : left + wide] = images[other, top : top + tall, left : left + wide]
    return Mixed(images, labels, labels[other], 1 - tall * wide / (height * width))
