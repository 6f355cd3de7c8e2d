"""1-bit ResNets for CIFAR: a shortcut around every convolution (Liu et al. 2018, "Bi-Real Net"), learned thresholds in
front of the signs and a shifted PReLU behind the sum (Liu et al. 2020, "ReActNet").

As float networks they are ordinary ones; the recipe `w1a1` makes their convolutions read and weigh signs. Where a stage
begins, the shortcut is averaged over 2x2 places and stands twice, so it needs no weights.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.zoo.cifar_resnet import CIFAR10
from bitwright.zoo.preprocessed import preprocessed


class Shift(nn.Module):
    """x + shift[c]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.shift


class ReactUnit(nn.Module):
    """rprelu(bn(conv(x + threshold)) + shortcut(x)), with one 3x3 convolution; [N, inputs, H, W] to [N, planes, H', W']."""

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        self.threshold = Shift(inputs)
        self.conv = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False)
        self.bn = nn.BatchNorm2d(planes)
        self.before, self.prelu, self.after = Shift(planes), nn.PReLU(planes), Shift(planes)
        self.stride, self.copies = stride, planes // inputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn(self.conv(self.threshold(x)))
        if self.stride > 1:
            x = F.avg_pool2d(x, self.stride)
        if self.copies > 1:
            x = torch.cat([x] * self.copies, 1)
        out: Tensor = self.after(self.prelu(self.before(y + x)))
        return out


class CifarReact(nn.Module):
    """A stem, a stage of `units` for each of `widths`, a linear head."""

    def __init__(self, units: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        inputs, body = widths[0], []
        for stage, planes in enumerate(widths):
            for unit in range(units):
                body.append(ReactUnit(inputs, planes, 2 if stage and not unit else 1))
                inputs = planes
        self.body = nn.Sequential(*body)
        self.fc = nn.Linear(inputs, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(self.bn1(self.conv1(x)))
        logits: Tensor = self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))
        return logits


@preprocessed(CIFAR10)
def cifar_react20() -> nn.Module:
    """ResNet-20 for 1 bit, 0.27 M parameters."""
    return CifarReact(6, (16, 32, 64))


@preprocessed(CIFAR10)
def cifar_react18() -> nn.Module:
    """ResNet-18 for 1 bit, 11.0 M parameters."""
    return CifarReact(4, (64, 128, 256, 512))
