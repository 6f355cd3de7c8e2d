"""ResNets for CIFAR (He et al. 2016, section 4.2): option A (padded, parameter-free) or projection shortcuts.

Key names are those of two public collections of weights: `linear` and option A, or torchvision's with `downsample` and `fc`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.images.preprocess import Preprocess
from bitwright.zoo.preprocessed import preprocessed

IMAGENET = Preprocess(size=32, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CIFAR10 = Preprocess(size=32, mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, planes: int, stride: int, projection: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.padding = 0 if inputs == planes or projection else planes // 4
        self.downsample: nn.Module | None = None
        if projection and inputs != planes:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.downsample is not None:
            x = self.downsample(x)
        elif self.padding:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.padding, self.padding))
        return F.relu(y + x)


class CifarResNet(nn.Module):
    """A stage of `blocks` blocks for each of `widths`, `layer1` and so on."""

    def __init__(self, blocks: int, projection: bool, widths: tuple[int, ...] = (16, 32, 64)) -> None:
        super().__init__()
        inputs = widths[0]
        self.conv1 = nn.Conv2d(3, inputs, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.stages = tuple(f"layer{i}" for i in range(1, len(widths) + 1))
        for name, planes in zip(self.stages, widths, strict=True):
            strides = [1 if name == self.stages[0] else 2] + [1] * (blocks - 1)
            stage = [BasicBlock(planes if i else inputs, planes, s, projection) for i, s in enumerate(strides)]
            self.add_module(name, nn.Sequential(*stage))
            inputs = planes
        self.head = "fc" if projection else "linear"
        self.add_module(self.head, nn.Linear(inputs, 10))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        for name in self.stages:
            x = self.get_submodule(name)(x)
        logits: Tensor = self.get_submodule(self.head)(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))
        return logits


@preprocessed(IMAGENET)
def cifar_resnet20() -> nn.Module:
    """ResNet-20 with option-A shortcuts, 0.27 M parameters."""
    return CifarResNet(3, projection=False)


@preprocessed(IMAGENET)
def cifar_resnet32() -> nn.Module:
    """ResNet-32 with option-A shortcuts, 0.46 M parameters."""
    return CifarResNet(5, projection=False)


@preprocessed(CIFAR10)
def cifar_resnet20_proj() -> nn.Module:
    """ResNet-20 with projection shortcuts, 0.27 M parameters."""
    return CifarResNet(3, projection=True)


@preprocessed(CIFAR10)
def cifar_resnet18() -> nn.Module:
    """ResNet-18 of ImageNet's widths behind a 3x3 stem, 11.2 M parameters."""
    return CifarResNet(2, projection=True, widths=(64, 128, 256, 512))
