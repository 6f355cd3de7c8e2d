"""Networks that only benchmarks need, as factories for the command line."""

from torch import nn

from bitwright.images.preprocess import Preprocess
from bitwright.zoo.preprocessed import preprocessed


@preprocessed(Preprocess(size=128, resize=(128, 128), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)))
def tinyimagenet_mobilenet_v2() -> nn.Module:
    """torchvision's MobileNetV2 with 200 classes, on whole images stretched to 128 x 128."""
    from torchvision.models import mobilenet_v2

    model: nn.Module = mobilenet_v2(num_classes=200)
    return model


@preprocessed(Preprocess(size=224, resize=256, scale=1.0, mean=127.0, std=128.0))
def efficientnet_lite0() -> nn.Module:
    """timm's EfficientNet-Lite0, with TensorFlow's padding."""
    from timm import create_model

    model: nn.Module = create_model("tf_efficientnet_lite0")
    return model


@preprocessed(Preprocess(size=224, resize=256, mean=0.5, std=0.5))
def vit_tiny() -> nn.Module:
    """timm's ViT-Tiny with patches of 16 x 16."""
    from timm import create_model

    model: nn.Module = create_model("vit_tiny_patch16_224")
    return model


@preprocessed(Preprocess(size=32, mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010)))
def cifar_shufflenet_v2_x0_5() -> nn.Module:
    """torchvision's ShuffleNetV2 x0.5 with 10 classes, for small images: its stem has no stride, and no pool behind it."""
    from torchvision.models import shufflenet_v2_x0_5

    model: nn.Module = shufflenet_v2_x0_5(num_classes=10)
    model.conv1[0].stride = (1, 1)
    model.maxpool = nn.Identity()
    return model
