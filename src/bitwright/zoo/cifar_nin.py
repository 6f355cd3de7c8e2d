"""Network in Network (Lin et al. 2014) with batch norms, for CIFAR-10."""

from torch import Tensor, nn

from bitwright.images.preprocess import Preprocess
from bitwright.zoo.preprocessed import preprocessed


class ConvNormRelu(nn.Module):
    """Convolution, batch norm, relu; another relu before them where the input has had none."""

    def __init__(self, inputs: int, planes: int, kernel: int, padding: int, relu_first: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, planes, kernel, padding=padding)
        self.bn = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU()
        self.relu_first = relu_first

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.relu(self.bn(self.conv(self.relu(x) if self.relu_first else x)))
        return y


class CifarNin(nn.Module):
    """Three stacks of one spatial and two 1x1 convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.tnn_bin = nn.Sequential(
            nn.Conv2d(3, 192, 5, padding=2),
            nn.BatchNorm2d(192),
            ConvNormRelu(192, 160, 1, 0, relu_first=True),
            ConvNormRelu(160, 96, 1, 0),
            nn.MaxPool2d(3, 2, 1),
            ConvNormRelu(96, 192, 5, 2),
            ConvNormRelu(192, 192, 1, 0),
            ConvNormRelu(192, 192, 1, 0),
            nn.AvgPool2d(3, 2, 1),
            ConvNormRelu(192, 192, 3, 1),
            ConvNormRelu(192, 192, 1, 0),
            nn.Conv2d(192, 10, 1),
            nn.BatchNorm2d(10),
            nn.ReLU(),
            nn.AvgPool2d(8),
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.tnn_bin(x)
        return logits.view(x.size(0), -1)


@preprocessed(Preprocess(size=32, mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010)))
def cifar_nin() -> nn.Module:
    """Network in Network, 0.97 M parameters."""
    return CifarNin()
