"""`load_model`: where a model comes from, and what is known of it. Weights and .pt2 files have their own tests."""

import sys
from pathlib import Path

import pytest
from torch import nn

from bitwright import Preprocess
from bitwright.errors import MissingExtraError, ModelError
from bitwright.models import hubs, load_model
from bitwright.models.hubs import timm_preprocess

FACTORIES = """
from torch import nn
from bitwright import Preprocess
from bitwright.errors import RecipeError

def plain():
    return nn.Linear(2, 3)

def known():
    return nn.Linear(2, 3)

known.preprocess = Preprocess(size=8)

def wrong():
    return nn.Linear(2, 3)

wrong.preprocess = "224"

def fails():
    raise ZeroDivisionError("by zero")

def ours():
    raise RecipeError("ours")

def a_list():
    return []

def needs(argument):
    return argument

number = 3

class Family:
    @staticmethod
    def small():
        return nn.Linear(1, 1)
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some_factories.py").write_text(FACTORIES)
    (tmp_path / "broken_factories.py").write_text("import no_such_module_at_all")
    monkeypatch.chdir(tmp_path)
    for name in ("some_factories", "broken_factories"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_a_factory_is_found_in_the_current_directory():
    before = list(sys.path)
    loaded = load_model("some_factories:plain")
    assert isinstance(loaded.model, nn.Linear)
    assert loaded.float_model.module is loaded.model
    assert (loaded.name, loaded.preprocess) == ("some_factories:plain", None)
    assert not loaded.model.training
    assert loaded.float_bytes == 4 * (2 * 3 + 3)
    assert sys.path == before


def test_a_factory_tells_its_preprocessing():
    assert load_model("some_factories:known").preprocess == Preprocess(size=8)
    assert load_model("bitwright.zoo:mnist_lenet").preprocess == Preprocess(size=28, mode="L")


def test_a_factory_may_be_an_attribute_of_an_attribute():
    assert isinstance(load_model("some_factories:Family.small").model, nn.Linear)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("some_factories:nope", "some_factories:nope: the module some_factories has no nope"),
        (
            "bitwright.zoo:mnist_lenett",
            "bitwright.zoo:mnist_lenett: the module bitwright.zoo has no mnist_lenett; did you mean 'mnist_lenet'?",
        ),
        ("some_factories:", "some_factories:: the module some_factories has no attribute without a name"),
        (
            "some_factories.py:plain",
            (
                "some_factories.py:plain: cannot import some_factories.py: ModuleNotFoundError: No module named "
                "'some_factories.py'; 'some_factories' is not a package; did you mean some_factories:plain?"
            ),
        ),
        (
            "no/such.py:x",
            "no/such.py:x: cannot import no/such.py: ModuleNotFoundError: No module named 'no/such'; did you mean no.such:x?",
        ),
        (":plain", ":plain: cannot import a module without a name: ValueError: Empty module name"),
        ("no_such:x", "no_such:x: cannot import no_such: ModuleNotFoundError: No module named 'no_such'"),
        (
            "broken_factories:x",
            (
                "broken_factories:x: cannot import broken_factories: "
                "ModuleNotFoundError: No module named 'no_such_module_at_all'"
            ),
        ),
        (
            "some_factories:number",
            "some_factories:number: expected something to call that returns the model, found int",
        ),
        ("some_factories:a_list", "some_factories:a_list: expected it to return a torch.nn.Module, found list"),
        ("some_factories:fails", "some_factories:fails: calling it failed: ZeroDivisionError: by zero"),
        (
            "some_factories:needs",
            "some_factories:needs: calling it failed: TypeError: needs() missing 1 required positional argument: 'argument'",
        ),
        (
            "some_factories:wrong",
            "some_factories:wrong: expected its preprocess to be a bitwright.Preprocess, found str",
        ),
        (
            "resnet18",
            (
                "resnet18: not the name of a model; expected one of:\n"
                "  a .pt2 file, written by torch.export.save\n"
                "  a .onnx file\n"
                "  torchvision:NAME\n"
                "  timm:NAME\n"
                "  package.module:factory, something to call that returns the model"
            ),
        ),
    ],
)
def test_what_cannot_be_loaded_is_an_error_that_says_why(spec: str, message: str):
    with pytest.raises(ModelError) as caught:
        load_model(spec)
    assert str(caught.value) == message


def test_our_own_errors_come_through_as_they_are():
    with pytest.raises(Exception, match=r"^ours$"):
        load_model("some_factories:ours")


@pytest.mark.usefixtures("torchvision")
@pytest.mark.parametrize(
    ("name", "preprocess"),
    [
        ("squeezenet1_1", Preprocess(size=224, resize=256, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))),
        (
            "efficientnet_b0",
            Preprocess(
                size=224, resize=256, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), interpolation="bicubic"
            ),
        ),
        ("googlenet", Preprocess(size=224, resize=256, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))),
    ],
)
def test_torchvision_comes_with_the_preprocessing_of_its_first_weights(name: str, preprocess: Preprocess):
    loaded = load_model(f"torchvision:{name}")
    assert loaded.preprocess == preprocess
    assert not any(key.startswith("aux") for key in loaded.float_model.module.state_dict())


@pytest.mark.usefixtures("torchvision")
@pytest.mark.parametrize("name", ["squeezenet1.1", "fasterrcnn_resnet50_fpn", ""])
def test_torchvision_has_classifiers_alone(name: str):
    with pytest.raises(ModelError, match=f"^torchvision:{name}: no such model"):
        load_model(f"torchvision:{name}")


@pytest.mark.usefixtures("torchvision")
def test_timm():
    pytest.importorskip("timm")
    loaded = load_model("timm:mobilenetv3_small_050")
    assert loaded.preprocess == Preprocess(
        size=224, resize=256, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), interpolation="bicubic"
    )
    with pytest.raises(ModelError, match=r"^timm:resnet81: no such model; close to it: resnet18, "):
        load_model("timm:resnet81")
    with pytest.raises(ModelError, match=r"^timm:hf-hub:someone/something: no such model$"):
        load_model("timm:hf-hub:someone/something")


CONFIG = {"input_size": (3, 224, 224), "mean": (0.5, 0.5, 0.5), "std": (1.0, 1.0, 1.0)}


@pytest.mark.parametrize(
    ("config", "resize", "interpolation"),
    [
        ({}, 256, "bicubic"),
        ({"crop_pct": 0.95, "interpolation": "bilinear"}, 235, "bilinear"),
        ({"crop_pct": 1.0, "crop_mode": "squash"}, (224, 224), "bicubic"),
        ({"crop_pct": 1.0, "input_size": (3, 224, 112)}, (224, 112), "bicubic"),
    ],
)
def test_timm_preprocessing(config: dict, resize: int | tuple[int, int], interpolation: str):
    size = config.get("input_size", (3, 224, 224))[1:]
    expected = Preprocess(size=size, resize=resize, mean=0.5, std=1.0, interpolation=interpolation)
    assert timm_preprocess({**CONFIG, **config}) == expected


@pytest.mark.parametrize("config", [{"input_size": (4, 8, 8)}, {"interpolation": "random"}, {"crop_mode": "border"}])
def test_timm_preprocessing_that_is_none_of_ours_is_unknown(config: dict):
    assert timm_preprocess({**CONFIG, **config}) is None


@pytest.mark.parametrize("spec", ["torchvision:resnet18", "timm:resnet18"])
def test_a_missing_package_is_an_error_that_says_what_to_install(spec: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hubs, "importlib", _Importing(ModuleNotFoundError("No module named x")))
    with pytest.raises(MissingExtraError, match=rf"pip install 'bitwright\[{spec.partition(':')[0]}\]'"):
        load_model(spec)


@pytest.mark.parametrize("spec", ["torchvision:resnet18", "timm:resnet18"])
def test_a_torchvision_of_another_pytorch_is_an_error_that_says_so(spec: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hubs, "importlib", _Importing(RuntimeError("operator torchvision::nms does not exist")))
    with pytest.raises(
        ModelError, match=r"^torchvision is installed but does not load \(operator torchvision::nms does"
    ):
        load_model(spec)


class _Importing:
    """Stands in for importlib where importing fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def import_module(self, name: str) -> None:
        raise self.error


def test_torchvision_and_timm_say_what_the_classes_are_called(torchvision) -> None:
    published = load_model("torchvision:squeezenet1_1").classes
    assert published is not None
    assert (len(published), published.find("tench"), published.find("Great-White_Shark")) == (1000, 0, 2)
    pytest.importorskip("timm")
    known = load_model("timm:mobilenetv3_small_050").classes
    assert known is not None
    assert (known.find("n01440764"), known.find("tench"), known.find("toilet_tissue")) == (0, 0, 999)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("model.pth", r"looks like a file of weights: give it as --weights model.pth, and the network"),
        ("run/best.pth.tar", "looks like a file of weights"),
        ("last.ckpt", "looks like a file of weights"),
        ("model.bw.safetensors", "looks like an artifact"),
        ("model.safetensors", "looks like a file of weights"),
    ],
)
def test_files_that_are_no_model(spec: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_model(spec)


def test_names_of_hugging_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "face_factories.py").write_text(
        "from types import SimpleNamespace\nfrom torch import nn\n"
        "def make(names):\n    model = nn.Linear(2, 2)\n    model.config = SimpleNamespace(id2label=names)\n    return model\n"
        "def named(): return make({1: 'dog', 0: 'cat'})\n"
        "def plain(): return make({0: 'LABEL_0', 1: 'LABEL_1'})\n"
    )
    monkeypatch.chdir(tmp_path)
    found = load_model("face_factories:named").classes
    assert found is not None
    assert found.names == ("cat", "dog")
    assert load_model("face_factories:plain").classes is None
