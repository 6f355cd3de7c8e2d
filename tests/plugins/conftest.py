"""A plugin of each kind, in a module on the path: `called` registers it by calls, `installed` by entry points."""

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import bitwright as bw
from bitwright.images.encoders import encoder
from bitwright.plugins import TABLES, table

MODULE = '''
import numpy as np
import torch
from bitwright.algorithms.correction import Correction
from bitwright.algorithms.ranges import Range, identity
from bitwright.algorithms.training.ste import Ste
from bitwright.images.encoders import Pointwise
from bitwright.images.sources import ImageSource, Kind
from bitwright.schemes import Carried


class Quinary(Carried):
    """-2..2, with the scale that reaches the largest weight."""

    name, lo, hi, weights = "quinary", -2, 2, True

    def weight_scale(self, weight):
        return np.maximum(np.abs(weight).max(axis=1) / 2, 1e-12)


class Dozen(Carried):
    """Twelve codes."""

    name, lo, hi, activations = "dozen", 0, 11, True


class Most(Range):
    """Nine tenths of what was seen."""

    name = "most"

    def activation(self, values, counts, codes, function=identity):
        return 0.9 * float(values[0]), 0.9 * float(values[-1])

    def weight(self, weight, codes):
        return 0.9 * np.abs(weight).max(axis=1)


class Nudge(Correction):
    """Adds a half to the first output of each layer."""

    name = "nudge"

    @torch.no_grad()
    def apply(self, prepared, calibration):
        for layer in prepared.layers.values():
            if layer.quantizer is not None:
                layer.correction[0] += 0.5


class Gentle(Ste):
    """Half of the gradient."""

    name = "gentle"

    def activation(self, quantizer, x):
        return super().activation(quantizer, x / 2 + (x / 2).detach())


class Quarters(Pointwise):
    """The two highest bits of a pixel."""

    name = usage = "quarters"
    base, weights = 31.5, (128.0, 64.0)

    @staticmethod
    def read(option):
        if option is not None:
            raise ValueError("nothing behind the name")
        return Quarters()

    def __str__(self):
        return "quarters"

    def of_levels(self, levels):
        return (np.asarray(levels)[..., None] >> np.array([7, 6]) & 1).astype(np.uint8)


class Noise:
    """Random pictures of 8 x 8."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def read(self, i):
        return np.random.default_rng(i).integers(0, 256, (8, 8, 3), np.uint8)

    def name(self, i):
        return f"noise {i}"


noise = Kind(
    "noise",
    "noise:N, so many random pictures",
    lambda spec: spec.startswith("noise:"),
    lambda spec: ImageSource(Noise(int(spec.removeprefix("noise:"))), spec),
)


@torch.library.custom_op("acme::saturate", mutates_args=())
def saturate(x: torch.Tensor) -> torch.Tensor:
    return x.clamp(0, 2)


saturate.register_fake(torch.empty_like)


def saturate_mapping(program, fx):
    return program.builder.clamp(program.operand(fx.args[0]), 0, 2)


def saturate_onnx(call):
    return torch.clamp(call.tensor(0), 0, call.attr("most", 2.0))


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 8, 3)
        self.pool, self.last = torch.nn.AvgPool2d(2), torch.nn.Linear(72, 4)

    def forward(self, x):
        x = torch.ops.acme.saturate(self.first(x))
        return self.last(self.pool(self.second(x).relu()).flatten(1))
'''
THINGS = {
    ("scheme", "quinary"): "Quinary",
    ("scheme", "dozen"): "Dozen",
    ("range", "most"): "Most",
    ("correction", "nudge"): "Nudge",
    ("training", "gentle"): "Gentle",
    ("encoder", "quarters"): "Quarters",
    ("source", "noise"): "noise",
    ("mapping", "acme.saturate.default"): "saturate_mapping",
    ("onnx_op", "com.acme.Saturate"): "saturate_onnx",
}
METADATA = "Metadata-Version: 2.1\nName: acme-quant\nVersion: 1.2\n"


def install(folder: Path, points: dict[tuple[str, str], str], name: str = "acme-quant") -> None:
    """Lay the metadata of a distribution with these entry points into a folder, as pip does."""
    info = folder / f"{name.replace('-', '_')}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(METADATA.replace("acme-quant", name))
    groups: dict[str, str] = {}
    for (kind, key), value in points.items():
        groups[kind] = f"{groups.get(kind, '')}{key} = {value}\n"
    (info / "entry_points.txt").write_text("".join(f"[bitwright.{kind}]\n{of}" for kind, of in groups.items()))


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the module, which can be imported once in a process: it declares an op of torch's."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "acme_quant.py").write_text(MODULE)
    return folder


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The tables without what other tests registered, and restored afterwards."""
    for kind in TABLES:
        monkeypatch.setattr(table(kind), "_added", {})
    encoder.cache_clear()
    yield
    encoder.cache_clear()


@pytest.fixture
def module(library: Path, tables: None, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.syspath_prepend(library)
    return importlib.import_module("acme_quant")


@pytest.fixture
def called(module: object) -> object:
    """The module, with all that it has registered by calls."""
    for (kind, name), attribute in THINGS.items():
        bw.register(kind, getattr(module, attribute), name if kind in ("mapping", "onnx_op") else None)
    return module


@pytest.fixture
def installed(module: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """The module, with all that it has found by the entry points of an installed distribution."""
    install(tmp_path / "site", {key: f"acme_quant:{attribute}" for key, attribute in THINGS.items()})
    monkeypatch.syspath_prepend(tmp_path / "site")
    return module


@pytest.fixture(params=["called", "installed"])
def acme(request: pytest.FixtureRequest) -> object:
    return request.getfixturevalue(request.param)
