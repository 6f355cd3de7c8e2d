"""What is known of a model's preprocessing by the files beside its weights and by the model itself."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
from PIL import Image
from torch import nn

from bitwright import Preprocess
from bitwright.errors import ModelError
from bitwright.models import load_model
from bitwright.models.huggingface import preprocess_of

FACTORIES = """
from types import SimpleNamespace
from torch import nn
from bitwright import Preprocess

def plain():
    return nn.Linear(2, 3)

def settled():
    return nn.Linear(2, 3)

settled.preprocess = Preprocess(size=8)

def of_timm():
    model = nn.Linear(2, 3)
    model.pretrained_cfg = {"input_size": (3, 64, 64), "mean": (0.5,) * 3, "std": (0.25,) * 3, "crop_pct": 1.0}
    return model

def of_transformers():
    model = nn.Linear(2, 3)
    model.config = SimpleNamespace(_name_or_path="saved")
    return model
"""
VIT: dict[str, Any] = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "size": {"height": 32, "width": 32},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.25, 0.5, 0.5],
}
OF_VIT = Preprocess(size=32, resize=(32, 32), mean=(0.5, 0.4, 0.3), std=(0.25, 0.5, 0.5))
MOBILENET: dict[str, Any] = {
    "image_processor_type": "MobileNetV2ImageProcessor",
    "size": {"shortest_edge": 36},
    "do_center_crop": True,
    "crop_size": {"height": 32, "width": 32},
    "resample": 3,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
CONVNEXT: dict[str, Any] = {**VIT, "image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 28}}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "known_factories.py").write_text(FACTORIES)
    (tmp_path / "saved").mkdir()
    safetensors.torch.save_file(nn.Linear(2, 3).state_dict(), tmp_path / "saved" / "model.safetensors")
    monkeypatch.chdir(tmp_path)


def write(name: str, config: Any) -> None:
    Path("saved", name).write_text(json.dumps(config))


def test_a_config_beside_the_weights():
    write("preprocessor_config.json", VIT)
    loaded = load_model("known_factories:plain", "saved/model.safetensors")
    assert (loaded.preprocess, loaded.preprocess_from) == (OF_VIT, "saved/preprocessor_config.json")
    assert load_model("known_factories:plain").preprocess is None


def test_it_goes_before_what_the_architecture_says_and_behind_what_the_factory_says():
    write("preprocessor_config.json", VIT)
    assert load_model("known_factories:of_timm", "saved/model.safetensors").preprocess == OF_VIT
    settled = load_model("known_factories:settled", "saved/model.safetensors")
    assert (settled.preprocess, settled.preprocess_from) == (Preprocess(size=8), "known_factories:settled.preprocess")


def test_a_config_of_timm_beside_the_weights():
    write(
        "config.json",
        {"pretrained_cfg": {"input_size": [3, 24, 24], "mean": [0.1] * 3, "std": [1] * 3, "crop_pct": 0.8}},
    )
    loaded = load_model("known_factories:plain", "saved/model.safetensors")
    assert loaded.preprocess == Preprocess(size=24, resize=30, mean=0.1, std=1, interpolation="bicubic")
    assert loaded.preprocess_from == "saved/config.json, pretrained_cfg"


@pytest.mark.parametrize(
    "config", [{"architectures": ["x"]}, [], {"pretrained_cfg": {"mean": 1}}, {"pretrained_cfg": 3}]
)
def test_a_config_of_someone_else_says_nothing(config: Any):
    write("config.json", config)
    assert load_model("known_factories:plain", "saved/model.safetensors").preprocess is None


def test_what_the_model_says_of_itself():
    loaded = load_model("known_factories:of_timm")
    expected = Preprocess(size=64, resize=64, mean=0.5, std=0.25, interpolation="bicubic")
    assert (loaded.preprocess, loaded.preprocess_from) == (expected, "the model's pretrained_cfg")
    assert load_model("known_factories:of_transformers").preprocess is None
    write("preprocessor_config.json", VIT)
    loaded = load_model("known_factories:of_transformers")
    assert (loaded.preprocess, loaded.preprocess_from) == (OF_VIT, "saved/preprocessor_config.json")


def test_a_damaged_config_is_an_error():
    Path("saved/preprocessor_config.json").write_text("{")
    with pytest.raises(ModelError, match=r"cannot read saved/preprocessor_config.json: .*--mean"):
        load_model("known_factories:plain", "saved/model.safetensors")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (VIT, OF_VIT),
        ({**VIT, "size": 32}, OF_VIT),
        ({**VIT, "do_normalize": False, "do_rescale": False}, Preprocess(size=32, resize=(32, 32), scale=1)),
        (MOBILENET, Preprocess(size=32, resize=36, mean=0.5, std=0.5, interpolation="bicubic")),
        (
            {**MOBILENET, "size": 36, "crop_size": 32},
            Preprocess(size=32, resize=36, mean=0.5, std=0.5, interpolation="bicubic"),
        ),
        (CONVNEXT, Preprocess(size=28, resize=32, mean=(0.5, 0.4, 0.3), std=(0.25, 0.5, 0.5))),
        (
            {**CONVNEXT, "size": {"shortest_edge": 384}},
            Preprocess(size=384, resize=(384, 384), mean=(0.5, 0.4, 0.3), std=(0.25, 0.5, 0.5)),
        ),
        ({**VIT, "do_flip_channel_order": True}, Preprocess(32, (32, 32), OF_VIT.mean, OF_VIT.std, mode="BGR")),
        ({**VIT, "size": {"shortest_edge": 32}}, None),
        ({**VIT, "do_resize": False}, None),
        ({**VIT, "resample": 17}, None),
        ({**VIT, "image_mean": None}, None),
        ({}, None),
    ],
)
def test_configs(config: dict[str, Any], expected: Preprocess | None):
    assert preprocess_of(config) == expected


@pytest.mark.usefixtures("torchvision")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("config", [VIT, MOBILENET, CONVNEXT], ids=lambda config: config["image_processor_type"])
def test_pixels_are_those_of_transformers(config: dict[str, Any]):
    transformers = pytest.importorskip("transformers")
    name = config["image_processor_type"]
    kind = getattr(transformers, f"{name}Pil", None) or getattr(transformers, name)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 48, 3), np.uint8))
    expected = np.asarray(kind(**config)(picture, return_tensors="np")["pixel_values"])
    pre = preprocess_of(config)
    assert pre is not None
    np.testing.assert_allclose(pre.normalise(pre.apply(picture)[None]), expected, atol=1e-5)
