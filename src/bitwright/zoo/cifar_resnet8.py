"""ResNet-8 of MLPerf Tiny (Banbury et al. 2021): raw 0..255 input, biases, TensorFlow's "same" padding."""

from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.images.preprocess import Preprocess
from bitwright.zoo.preprocessed import preprocessed


class CifarResNet8(nn.Module):
    """A stem and three stacks of two convolutions, 16, 32 and 64 channels wide."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1)
        self.bn = nn.BatchNorm2d(16, eps=1e-3)
        for k, (inputs, planes) in enumerate(((16, 16), (16, 32), (32, 64)), start=1):
            self.add_module(f"s{k}c1", nn.Conv2d(inputs, planes, 3, stride=1 if k == 1 else 2, padding=int(k == 1)))
            self.add_module(f"s{k}b1", nn.BatchNorm2d(planes, eps=1e-3))
            self.add_module(f"s{k}c2", nn.Conv2d(planes, planes, 3, padding=1))
            self.add_module(f"s{k}b2", nn.BatchNorm2d(planes, eps=1e-3))
            if k > 1:
                self.add_module(f"s{k}sc", nn.Conv2d(inputs, planes, 1, stride=2))
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.conv(x)))
        for k in (1, 2, 3):
            part = self.get_submodule
            y = F.pad(x, (0, 1, 0, 1)) if k > 1 else x
            y = F.relu(part(f"s{k}b1")(part(f"s{k}c1")(y)))
            y = part(f"s{k}b2")(part(f"s{k}c2")(y))
            x = F.relu(y + (part(f"s{k}sc")(x) if k > 1 else x))
        logits: Tensor = self.fc(F.avg_pool2d(x, 8).flatten(1))
        return logits


@preprocessed(Preprocess(size=32, scale=1.0))
def cifar_resnet8() -> nn.Module:
    """ResNet-8, 78 k parameters."""
    return CifarResNet8()
