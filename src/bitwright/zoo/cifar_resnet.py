"""ResNets for CIFAR (He et al. 2016, section 4.2): option A (padded, parameter-free) or projection shortcuts.

Key names are those of two public collections of weights: `linear` and option A, or torchvision's with `downsample` and `fc`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.preprocess import Preprocess
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
    """Three stages of `blocks` blocks, 16, 32 and 64 channels wide."""

    def __init__(self, blocks: int, projection: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        stages, inputs = [], 16
        for planes, stride in ((16, 1), (32, 2), (64, 2)):
            strides = [stride] + [1] * (blocks - 1)
            stages.append(
                nn.Sequential(
                    *(BasicBlock(inputs if i == 0 else planes, planes, s, projection) for i, s in enumerate(strides))
                )
            )
            inputs = planes
        self.layer1, self.layer2, self.layer3 = stages
        head = "fc" if projection else "linear"
        self.add_module(head, nn.Linear(64, 10))
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
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
