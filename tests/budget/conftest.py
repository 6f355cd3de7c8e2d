"""A small network for the digits, trained for a moment, and the digits as pixels."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

import bitwright as bw
from bitwright.images.sources import ImageSource

PREPROCESS = bw.Preprocess(size=8, mode="L", mean=0.3, std=0.4)


class Digits(NamedTuple):
    model: nn.Module
    source: ImageSource
    pixels: np.ndarray


@pytest.fixture(scope="session")
def digits() -> Digits:
    pytest.importorskip("sklearn")
    source = bw.open_source("digits")
    batches = list(source.batches(PREPROCESS, 256))
    pixels = np.concatenate([batch.images for batch in batches])
    labels = torch.from_numpy(np.concatenate([batch.labels for batch in batches]))
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10)),
    )
    x = torch.from_numpy(PREPROCESS.normalise(pixels))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(40):
        for chosen in torch.randperm(len(x)).split(256):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[chosen]), labels[chosen]).backward()
            optimizer.step()
    return Digits(model.eval(), source, pixels)
