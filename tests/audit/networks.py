"""Real networks to plant faults in, each with a healthy artifact; captured once, and run once on each batch of images."""

import csv
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import torch

import bitwright as bw
from bitwright.audit.examine import Effort, examine
from bitwright.audit.matching import prepared_quietly
from bitwright.audit.records import Audit
from bitwright.capture import Captured
from bitwright.errors import AuditError
from bitwright.models import FloatModel, load_model
from bitwright.quantization import convert

Array = npt.NDArray[Any]
QUICK = bw.Recipe(algorithms=("equalize", "bias_correct"))
"""Scales channels, as the default does, and takes a tenth of the time."""
CLASSES = 16
"""Of Tiny-ImageNet, which MobileNetV2 is judged on."""


@dataclass
class Once:
    """A float model that remembers its graph, and its answers for each batch."""

    model: FloatModel
    shape: tuple[int, int, int]
    answers: dict[bytes, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.graph = self.model.capture(self.shape)

    def capture(self, shape: tuple[int, ...]) -> Captured:
        assert shape == self.shape
        return self.graph

    def predict(self, images: Array) -> Array:
        key = images.tobytes()
        if key not in self.answers:
            self.answers[key] = self.model.predict(images)
        return self.answers[key]


@dataclass
class Network:
    """A float model, its healthy artifact, and images to fit on and to judge on.

    Fields:
        several: where `test` has one picture of each class, several pictures of some classes; then answers are few, and what
            a fault costs is told in decibels.
    """

    model: Once
    preprocess: bw.Preprocess
    fit: Any
    test: Any
    effort: Effort
    several: Any = None
    made: dict[Any, bw.Artifact] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.artifact = self.quantized()

    def quantized(self, **how: Any) -> bw.Artifact:
        how = {"preprocess": self.preprocess, "recipe": QUICK, "classes": self.test.classes, **how}
        return bw.quantize(self.model.graph, self.fit, **how)

    def clipped(self, quantizer: str, factor: float = 12) -> bw.Artifact:
        """One value's range is too small by a factor."""
        prepared = prepared_quietly(self.model.graph, self.preprocess, bw.Recipe(algorithms=()))
        bw.calibrate(prepared, self.fit)
        found = prepared.quantizer(quantizer)
        assert found is not None
        with torch.no_grad():
            found.scale.div_(factor)
        return convert(prepared, classes=self.artifact.classes)

    def narrow(self, layer: str, weights: str) -> bw.Artifact:
        """One layer has fewer bits than the others."""
        recipe = {**QUICK.to_json(), "layers": [{"match": layer, "weights": weights}]}
        return self.quantized(recipe=bw.Recipe.from_json(recipe))

    def audit(self, artifact: bw.Artifact, **how: Any) -> Audit:
        """Audit an artifact; what is quantized again by the same recipe for several of them is quantized once."""
        how = {"preprocess": self.preprocess, "effort": self.effort, "parts": ("layers", "remedies"), **how}
        with patch("bitwright.audit.remedies.quantize", self._quantized_once):
            return examine(artifact, self.model, self.test, calibration=self.fit, **how)

    def audit_of_several(self, artifact: bw.Artifact) -> Audit:
        """Audit the answers alone, on several pictures of each class."""
        effort = replace(self.effort, images=len(self.several))
        how: dict[str, Any] = {"preprocess": self.preprocess, "effort": effort, "parts": ("decisions",)}
        return examine(artifact, self.model, self.several, **how)

    def _quantized_once(self, *given: Any, classes: Any, **how: Any) -> bw.Artifact:
        recipe = how["recipe"]
        if recipe.range != QUICK.range or any(rule.range or rule.without for rule in recipe.layers):
            raise AuditError("other ranges and corrections take their time, and mend none of the planted faults")
        if recipe.algorithms not in ((), QUICK.algorithms):
            raise AuditError("likewise")
        key = (recipe, how["preprocess"])
        if key not in self.made:
            self.made[key] = bw.quantize(*given, **how)
        return replace(self.made[key], classes=classes)


def resnet20(data: Path, folder: Path) -> Network:
    """ResNet-20 on CIFAR-10: residuals, no channels scaled in front of them."""
    subprocess.run([sys.executable, data / "cifar10_npz.py", folder], check=True, stdout=subprocess.DEVNULL)
    loaded = load_model("bitwright.zoo:cifar_resnet20", data / "models/cifar10-resnet20.safetensors")
    assert loaded.preprocess is not None
    fit = bw.open_source(folder / "cifar10-train.npz").sample(64, 0)
    test = bw.open_source(folder / "cifar10-test.npz").sample(500, 0)
    return Network(Once(loaded.float_model, (3, 32, 32)), loaded.preprocess, fit, test, _effort(500, 64))


def mobilenet_v2(data: Path, folder: Path) -> Network:
    """MobileNetV2 on 16 classes of Tiny-ImageNet: depthwise layers, relu6, most channels scaled."""
    weights = data / "models/tinyimagenet-mobilenetv2.safetensors"
    loaded = load_model("bench.models:tinyimagenet_mobilenet_v2", weights)
    assert loaded.preprocess is not None
    names = tuple(f"class {i}" for i in range(200))
    test = replace(bw.open_source(data / "tiny-imagenet/val2000.csv"), classes=names)
    assert test.labels is not None
    test = test.subset(np.flatnonzero(test.labels < CLASSES))
    fit = bw.open_source(data / "tiny-imagenet/train1000.csv").sample(32, 0)
    return Network(Once(loaded.float_model, (3, 128, 128)), loaded.preprocess, fit, test, _effort(len(test), 32))


def vit_tiny(data: Path, folder: Path) -> Network:
    """ViT-Tiny on a picture of each of 40 classes of ImageNet: attention, norms of sums, tables of functions.

    `several` are five pictures of each of ten classes, of Tiny-ImageNet.
    """
    loaded = load_model("timm:vit_tiny_patch16_224", data / "models/imagenet-vit_tiny.safetensors")
    assert loaded.preprocess is not None
    pictures = bw.open_source(data / "imagenet-samples/sample1000.csv")
    names = tuple(f"class {i}" for i in range(1000))
    test = replace(pictures.subset(np.arange(0, 1000, 25)), classes=names)
    fit = pictures.subset(np.arange(7, 1000, 100))
    model, effort = Once(loaded.float_model, (3, 224, 224)), _effort(40, 10, 2)
    return Network(model, loaded.preprocess, fit, test, effort, _tiny_imagenet(data, names))


def _tiny_imagenet(data: Path, names: tuple[str, ...]) -> Any:
    """Five pictures of each of ten classes, with the numbers that ImageNet has for these."""
    path = data / "tiny-imagenet/val2000.csv"
    with path.open(newline="") as file:
        numbers = np.array([int(row["imagenet1k_index"]) for row in csv.DictReader(file)])
    chosen = np.concatenate([np.flatnonzero(numbers == number)[:5] for number in np.unique(numbers)[::20]])
    return replace(bw.open_source(path).subset(chosen), labels=numbers[chosen], classes=names)


def _effort(images: int, fit: int, layer_images: int = 6) -> Effort:
    return Effort(images=images, fit=fit, layer_images=layer_images, seconds=1200, timed=False)


NETWORKS: dict[str, Callable[[Path, Path], Network]] = {
    "resnet20": resnet20,
    "mobilenet_v2": mobilenet_v2,
    "vit_tiny": vit_tiny,
}
