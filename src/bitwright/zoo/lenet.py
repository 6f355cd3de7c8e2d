"""LeNet (LeCun et al. 1998, with max-pools and relu) for MNIST."""

from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.images.preprocess import Preprocess
from bitwright.zoo.preprocessed import preprocessed


class LeNet(nn.Module):
    """Two convolutions, each pooled, and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.fc1 = nn.Linear(800, 500)
        self.fc2 = nn.Linear(500, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.conv1(x), 2)
        x = F.max_pool2d(self.conv2(x), 2)
        logits: Tensor = self.fc2(F.relu(self.fc1(x.flatten(1))))
        return logits


@preprocessed(Preprocess(size=28, mode="L"))
def mnist_lenet() -> nn.Module:
    """LeNet, 0.43 M parameters."""
    return LeNet()
