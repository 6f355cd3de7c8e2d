"""What the two examples beside this file share: handwritten digits (scikit-learn's), and a small network for them."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import bitwright as bw

PREPROCESS = bw.Preprocess(size=8, mode="L", mean=0.3, std=0.4)
TRAIN, TEST = "digits[!::5]", "digits[::5]"


def network() -> nn.Module:
    """A float network, not yet trained."""
    torch.manual_seed(0)
    first = [nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)]
    second = [nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*first, *second, nn.Linear(512, 10))


def batches(images: str) -> DataLoader:
    """Normalised float32 images [N, 1, 8, 8] and their labels [N]."""
    source = bw.open_source(images)
    pixels = np.concatenate([batch.images for batch in source.batches(PREPROCESS, 64)])
    data = TensorDataset(torch.from_numpy(PREPROCESS.normalise(pixels)), torch.from_numpy(source.labels))
    return DataLoader(data, batch_size=64, shuffle=True, generator=torch.Generator().manual_seed(0))
