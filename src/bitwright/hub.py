"""The quantized models that there are by name: those that were trained here, which are the package of data `bitwright-models`,
and those that one command makes from images and float weights."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from bitwright.errors import MissingExtraError, ModelError, did_you_mean

PACKAGE = "bitwright_models"
CIFAR10 = "cifar10-test.npz"
SAMPLES = "imagenet-samples/sample1000.csv"


@dataclass(frozen=True)
class QuantizedModel:
    """A model by its name, which has its bits.

    Attributes:
        name: of its file, too, before `.bw.safetensors`.
        network: the factory of its float network.
        bits: its recipe.
        test: the images that its accuracy is measured on, in the folder of the data.
        arguments: of `bitwright quantize`, run in the folder of the data; empty where the model was trained.
    """

    name: str
    network: str
    bits: str
    test: str
    arguments: tuple[str, ...] = ()

    @property
    def is_trained(self) -> bool:
        """Whether it was trained with its rounding in place, and comes with `bitwright-models`."""
        return not self.arguments

    @property
    def file(self) -> Path:
        """Where a trained model is: in `bitwright-models`, or in the checkout that bitwright was installed from.

        MissingExtraError where there is neither; ModelError for a model that has to be made.
        """
        if not self.is_trained:
            raise ModelError(f"{self.name} does not come with bitwright; `bitwright zoo make {self.name}` makes it")
        for folder in _folders():
            if (path := folder / f"{self.name}.bw.safetensors").is_file():
                return path
        raise MissingExtraError(PACKAGE, "models")


def _folders() -> list[Path]:
    spec = find_spec(PACKAGE)
    found = [] if spec is None else [Path(folder) for folder in spec.submodule_search_locations or ()]
    return [*found, Path(__file__).parents[2] / "examples" / "cifar10"]


def _quantized(
    name: str, bits: str, network: str, weights: str, data: str, test: str, calibrate: str = ""
) -> QuantizedModel:
    arguments = [
        network,
        "--weights",
        f"models/{weights}.safetensors",
        "--recipe",
        bits,
        "--data",
        data,
        "--test",
        test,
    ]
    return QuantizedModel(
        f"{name}-{bits}", network, bits, test, (*arguments, *(["--calibrate", calibrate] if calibrate else []))
    )


def _cifar(name: str, bits: str, network: str, weights: str) -> QuantizedModel:
    return _quantized(name, bits, f"bitwright.zoo:{network}", weights, "cifar10-train.npz", CIFAR10, "512")


_TRAINED = (
    QuantizedModel("resnet20-w4a4", "bitwright.zoo:cifar_resnet20_proj", "w4a4", CIFAR10),
    QuantizedModel("resnet20-w2a2", "bitwright.zoo:cifar_resnet20_proj", "w2a2", CIFAR10),
    QuantizedModel("resnet20-w1a8", "bitwright.zoo:cifar_resnet20_proj", "w1a8", CIFAR10),
    QuantizedModel("react20-w1a1", "bitwright.zoo:cifar_react20", "w1a1", CIFAR10),
)
_MADE = (
    _cifar("resnet20", "w8a8", "cifar_resnet20_proj", "cifar10-resnet20-proj"),
    _cifar("resnet20", "w4a8", "cifar_resnet20_proj", "cifar10-resnet20-proj"),
    _cifar("resnet20-pad", "w8a8", "cifar_resnet20", "cifar10-resnet20"),
    _cifar("resnet32", "w8a8", "cifar_resnet32", "cifar10-resnet32"),
    _cifar("resnet8", "w8a8", "cifar_resnet8", "cifar10-resnet8"),
    _cifar("nin", "w8a8", "cifar_nin", "cifar10-nin"),
    _quantized(
        "lenet",
        "w8a8",
        "bitwright.zoo:mnist_lenet",
        "mnist-lenet",
        "mnist/train-images-idx3-ubyte.gz",
        "mnist/t10k-images-idx3-ubyte.gz",
        "512",
    ),
    _quantized(
        "squeezenet",
        "w8a8",
        "torchvision:squeezenet1_1",
        "imagenet-squeezenet1_1",
        f"{SAMPLES}[::5]",
        f"{SAMPLES}[!::5]",
    ),
    _quantized(
        "darknet",
        "w8a8",
        "bitwright.zoo:darknet_tiny",
        "imagenet-darknet-tiny",
        f"{SAMPLES}[::5]",
        f"{SAMPLES}[!::5]",
    ),
)
MODELS = {model.name: model for model in (*_TRAINED, *_MADE)}


def quantized_model(name: str) -> QuantizedModel:
    """The model of this name; ModelError where there is none."""
    if name not in MODELS:
        raise ModelError(f"unknown model {name!r}; known: {', '.join(MODELS)}{did_you_mean(name, MODELS)}")
    return MODELS[name]
