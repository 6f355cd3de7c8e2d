"""What no file could hold is told before the work, with where it comes from and what to do; not when hours are over."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import bitwright as bw  # noqa: E402
from bitwright.artifact_file.limits import MAX_PART  # noqa: E402
from bitwright.cli import main  # noqa: E402
from bitwright.errors import ArtifactError, LabelError  # noqa: E402
from bitwright.images.sources import ImageSource  # noqa: E402

PREPROCESS = bw.Preprocess(size=8, mode="L")
LONG = "x" * MAX_PART


def network(name: str = "layer") -> nn.Module:
    model = nn.Sequential()
    model.add_module(name, nn.Conv2d(1, 4, 3))
    for i, module in enumerate((nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))):
        model.add_module(f"m{i}", module)
    return model.eval()


def never() -> Iterator[np.ndarray]:
    pytest.fail("the images were asked for")
    yield


def digits() -> ImageSource:
    class Unread:
        def __len__(self) -> int:
            return 64

        def read(self, i: int) -> Any:
            pytest.fail("an image was read")

        def name(self, i: int) -> str:
            return str(i)

    return ImageSource(Unread(), "nowhere", np.arange(64) % 10)


VERBS: dict[str, Callable[..., Any]] = {
    "quantize": lambda model, **options: bw.quantize(model, never(), preprocess=PREPROCESS, **options),
    "search": lambda model, **options: bw.search(model, digits(), preprocess=PREPROCESS, **options),
    "quantize_within": lambda model, **options: bw.quantize_within(model, digits(), preprocess=PREPROCESS, **options),
    "train": lambda model, **options: bw.train(model, digits(), preprocess=PREPROCESS, **options),
}


@pytest.mark.parametrize("verb", VERBS)
def test_names_of_layers_and_classes(verb: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"names of a layer .* expected fewer than 262,144; give .* shorter names"):
        VERBS[verb](network(LONG))
    file = tmp_path / "names.txt"
    file.write_text("\n".join([*"abcdefghi", LONG]))
    with pytest.raises(
        LabelError, match=rf"{re.escape(str(file))}: the name of class 9 .*; give fewer or shorter names"
    ):
        VERBS[verb](network(), classes=file)


@pytest.mark.parametrize("verb", ["quantize", "search", "quantize_within"])
@pytest.mark.parametrize(
    ("provenance", "said"),
    [
        ({"a": LONG}, "would take .* bytes of a file, expected fewer than 262,144; say less"),
        ({"a": {1}}, "cannot be written as JSON: .* expected plain data"),
        ({"a": float("nan")}, "cannot be written as JSON"),
        ({1: 0, "1": 0}, "could not be read back: the key '1' stands twice"),
        ({"a": "\ud800"}, "could not be read back: .*lone surrogate"),
        ([1], "must be an object, a dictionary"),
    ],
    ids=range(6),
)
def test_provenance(verb: str, provenance: Any, said: str) -> None:
    with pytest.raises(ArtifactError, match=f"the provenance {said}"):
        VERBS[verb](network(), provenance=provenance)


@pytest.mark.parametrize("verb", ["quantize", "quantize_within", "train"])  # search writes a recipe of its own
def test_recipes(verb: str, tmp_path: Path) -> None:
    long = tmp_path / "long.toml"
    long.write_text(f'name = "{LONG}"\nweights = "int8"\nactivations = "uint8"\n')
    stages = {"recipe": ["w8a8", long]} if verb == "train" else {"recipe": long}
    with pytest.raises(ArtifactError, match=r"the provenance would take .* bytes of a file.*say less in the recipe"):
        VERBS[verb](network(), **stages)


def test_options_that_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for command in ("quantize", "train", "search"):
        code = main([command, "torchvision:resnet18", "--data", "im\udcffages", "-o", "out.bw.safetensors"])
        assert code == 2
        assert r"--data: 'im\udcffages' is no text in UTF-8" in capsys.readouterr().err
