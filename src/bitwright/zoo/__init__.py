"""Small float networks to try things on, as factories; `bitwright quantize bitwright.zoo:cifar_resnet20 ...` names one.

A factory has the attribute `preprocess`: what the published weights were trained behind.
"""

from bitwright.zoo.cifar_nin import cifar_nin
from bitwright.zoo.cifar_react import cifar_react18, cifar_react20
from bitwright.zoo.cifar_resnet import cifar_resnet18, cifar_resnet20, cifar_resnet20_proj, cifar_resnet32
from bitwright.zoo.cifar_resnet8 import cifar_resnet8
from bitwright.zoo.darknet import darknet_tiny
from bitwright.zoo.lenet import mnist_lenet

__all__ = [
    "cifar_nin",
    "cifar_react18",
    "cifar_react20",
    "cifar_resnet8",
    "cifar_resnet18",
    "cifar_resnet20",
    "cifar_resnet20_proj",
    "cifar_resnet32",
    "darknet_tiny",
    "mnist_lenet",
]
