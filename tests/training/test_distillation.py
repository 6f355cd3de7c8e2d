"""Attention maps: the mean over the channels, whichever axis they are, of the last weighted layer of each size."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import bitwright as bw
from bitwright.images.preprocess import Preprocess
from bitwright.training.distillation import Features, attention_map, distance

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)


class Tokens(nn.Module):
    """Planes of 4 x 4, then 16 tokens, then a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 2, stride=2)
        self.first, self.second, self.head = nn.Linear(6, 8), nn.Linear(8, 10), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.second(F.relu(self.first(tokens))).mean(1))


def test_tokens_are_pixels_whose_channels_are_last() -> None:
    prepared = bw.prepare(Tokens().eval(), preprocess=Preprocess(size=8))
    bw.calibrate(prepared, IMAGES)
    prepared.train()
    features, outputs = Features(prepared), dict[str, Tensor]()
    for name in ("patches", "second"):
        prepared.layer(name).register_forward_hook(lambda _m, _i, y, name=name: outputs.update({name: y}))
    prepared(torch.from_numpy(Preprocess(size=8).normalise(IMAGES)))
    planes, tokens = features.collect()
    assert planes.shape == tokens.shape == (6, 16)
    torch.testing.assert_close(planes, F.normalize(outputs["patches"].square().mean(1).flatten(1)))
    torch.testing.assert_close(tokens, F.normalize(outputs["second"].square().mean(2)))
    assert features.collect() == []


def test_an_attention_map_is_the_same_in_either_order_of_the_axes() -> None:
    x = torch.randn(2, 5, 3, 4)
    torch.testing.assert_close(attention_map(x, 1), attention_map(x.flatten(2).transpose(1, 2), 2))
    assert distance([attention_map(x, 1)], [attention_map(7 * x, 1)]) < 1e-12
    assert distance([attention_map(x, 1)], [attention_map(x.flip(2), 1)]) > 0
