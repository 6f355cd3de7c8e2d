"""Accuracy of the integer model on real images and pretrained networks, against the figures that the project promises."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import bitwright as bw
from bitwright import zoo

IMAGENET = bw.Preprocess(size=224, resize=256, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Case:
    """A pretrained network, its images, its float accuracy on them, and how far w8a8 may fall behind it.

    `drop` is in points, `agreement` in percent.
    """

    factory: str
    weights: str
    calibration: str
    images: int
    test: str
    top1: float
    drop: float
    agreement: float


CIFAR = ("cifar10-train.npz", 512, "cifar10-test.npz")
SAMPLES = ("imagenet-samples/sample1000.csv[::5]", 200, "imagenet-samples/sample1000.csv[!::5]")
MNIST = ("mnist/train-images-idx3-ubyte.gz", 512, "mnist/t10k-images-idx3-ubyte.gz")
TINY = ("tiny-imagenet/train1000.csv", 1000, "tiny-imagenet/val2000.csv")
CASES = {
    "resnet20": Case("cifar_resnet20", "cifar10-resnet20", *CIFAR, 91.73, 0.10, 99.0),
    "resnet20-proj": Case("cifar_resnet20_proj", "cifar10-resnet20-proj", *CIFAR, 92.96, 0.10, 99.0),
    "resnet8": Case("cifar_resnet8", "cifar10-resnet8", *CIFAR, 87.21, 0.3, 98.0),
    "nin": Case("cifar_nin", "cifar10-nin", *CIFAR[:2], "cifar10-test.npz[:2000]", 85.65, 0.3, 98.0),  # slow
    "lenet": Case("mnist_lenet", "mnist-lenet", *MNIST, 98.95, 0.3, 99.0),
    "squeezenet": Case("squeezenet1_1", "imagenet-squeezenet1_1", *SAMPLES, 60.62, 0.7, 95.0),
    "darknet": Case("darknet_tiny", "imagenet-darknet-tiny", *SAMPLES, 63.50, 1.0, 91.0),
    "mobilenetv2": Case("mobilenet_v2", "tinyimagenet-mobilenetv2", *TINY, 54.75, 1.0, 88.0),
}


@pytest.fixture(scope="module", autouse=True)
def no_denormals() -> Iterator[None]:
    """Weights that training let decay to 1e-39 make float sums of the NiN eight times as slow; they are worth nothing."""
    torch.set_flush_denormal(True)
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="module")
def cifar10(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cifar10")
    subprocess.run([sys.executable, data_dir / "cifar10_npz.py", folder], check=True, stdout=subprocess.DEVNULL)
    return folder


def network(case: Case, torchvision: ModuleType) -> tuple[nn.Module, bw.Preprocess]:
    if case.factory == "squeezenet1_1":
        return torchvision.models.squeezenet1_1(weights=None), IMAGENET
    if case.factory == "mobilenet_v2":
        return torchvision.models.mobilenet_v2(num_classes=200), replace(IMAGENET, size=128, resize=(128, 128))
    factory = getattr(zoo, case.factory)
    return factory(), factory.preprocess


@pytest.mark.parametrize("name", CASES)
def test_w8a8_is_as_accurate_as_promised(name: str, data_dir: Path, cifar10: Path, torchvision: ModuleType) -> None:
    case = CASES[name]
    model, preprocess = network(case, torchvision)
    missing, unexpected = model.load_state_dict(
        load_file(data_dir / f"models/{case.weights}.safetensors"), strict=False
    )
    assert not unexpected
    assert all(key.endswith("num_batches_tracked") for key in missing)
    calibration, test = (
        bw.open_source((cifar10 if "cifar10" in spec else data_dir) / spec) for spec in (case.calibration, case.test)
    )
    artifact = bw.quantize(model, calibration.sample(case.images, seed=0), preprocess=preprocess)
    # Its images take two thirds of the time so; torch leaves this argument out of its types.
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    found = bw.evaluate(artifact, test, reference=model)
    assert found.top1 is not None
    assert found.agreement is not None
    assert found.reference_top1 is not None
    assert found.reference_top1 == pytest.approx(case.top1, abs=0.03)
    assert found.reference_top1 - found.top1 <= case.drop + 1e-9
    assert found.agreement >= case.agreement


TRAINED = {
    "resnet20-w4a4": 92.3,
    "resnet20-w2a2": 88.9,
    "resnet20-w1a8": 90.8,
    "react20-w1a1": 78.7,
    "react18-w1a1": 78.8,
}
"""Artifacts in examples/cifar10, and the accuracy that each was kept for."""


@pytest.mark.parametrize("name", TRAINED)
def test_a_trained_artifact_has_the_accuracy_that_it_records(name: str, cifar10: Path) -> None:
    artifact = bw.load(Path(__file__).parent.parent / f"examples/cifar10/{name}.bw.safetensors")
    measured = artifact.provenance["measured"]
    found = bw.evaluate(artifact, bw.open_source(cifar10 / "cifar10-test.npz"))
    assert found.top1 == pytest.approx(measured["top1"])
    assert found.top1 is not None
    assert found.top1 >= TRAINED[name]
    assert measured["images"] == 10_000
