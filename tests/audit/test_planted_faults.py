"""Each fault that is planted in a real network is what the audit names first, and its remedy wins back most of the loss."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch

import bitwright as bw
from bitwright.audit.examine import Effort, examine
from bitwright.audit.matching import prepared_quietly
from bitwright.audit.records import Audit, Finding
from bitwright.capture import Captured
from bitwright.models import LoadedModel, load_model
from bitwright.quantization import convert
from tests.audit import faults

EFFORT = Effort(images=800, fit=160, layer_images=24, timed=False)


@dataclass(frozen=True)
class Network:
    """A float model, its healthy artifact, and the images of both kinds."""

    loaded: LoadedModel
    captured: Captured
    artifact: bw.Artifact
    fit: Any
    test: Any

    def quantized(self, **how: Any) -> bw.Artifact:
        how = {"preprocess": self.artifact.preprocess, "classes": self.artifact.classes, **how}
        return bw.quantize(self.captured, self.fit, **how)

    def audit(self, artifact: bw.Artifact, **how: Any) -> Audit:
        how = {"preprocess": self.loaded.preprocess, "effort": EFFORT, "parts": ("layers", "remedies"), **how}
        return examine(artifact, self.loaded.float_model, self.test, calibration=self.fit, **how)


@pytest.fixture(scope="module")
def network(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Network:
    folder = tmp_path_factory.mktemp("cifar10")
    subprocess.run([sys.executable, data_dir / "cifar10_npz.py", folder], check=True, stdout=subprocess.DEVNULL)
    loaded = load_model("bitwright.zoo:cifar_resnet20", data_dir / "models/cifar10-resnet20.safetensors")
    assert loaded.preprocess is not None
    captured = loaded.float_model.capture((3, 32, 32))
    fit = bw.open_source(folder / "cifar10-train.npz").sample(EFFORT.fit, 0)
    artifact = bw.quantize(captured, fit, preprocess=loaded.preprocess)
    return Network(loaded, captured, artifact, fit, bw.open_source(folder / "cifar10-test.npz"))


def clipped(network: Network, edge: str) -> bw.Artifact:
    """One value's range is a twelfth of what it has to be."""
    prepared = prepared_quietly(network.captured, network.artifact.preprocess, bw.Recipe(algorithms=()))
    bw.calibrate(prepared, network.fit)
    found = prepared.edge(edge)
    assert found is not None
    with torch.no_grad():
        found.scale.mul_(1 / 12)
    return convert(prepared, classes=network.artifact.classes)


def at_three_bits(network: Network) -> bw.Artifact:
    rule = {"match": "layer1.0.conv2", "weights": "int2"}
    recipe = bw.Recipe.from_json({"layers": [rule]})
    return network.quantized(recipe=recipe)


PLANTED: dict[str, tuple[Callable[[Network], bw.Artifact], str, str | None]] = {
    "a clipped range": (lambda n: clipped(n, "layer2.1.conv1"), "clipped", "layer2.1.conv1"),
    "a clipped residual path": (lambda n: clipped(n, "layer3.0.conv2"), "clipped", "layer3.0.conv2"),
    "a dead channel": (
        lambda n: faults.dead(n.artifact, "layer3.2.conv2", slice(0, 12)),
        "dead_channel",
        "layer3.2.conv2",
    ),
    "shuffled class names": (lambda n: faults.shuffled(n.artifact), "names", None),
    "a damaged weight block": (lambda n: faults.damaged(n.artifact, "layer1.1.conv1"), "weights", "layer1.1.conv1"),
    "one layer with few bits": (at_three_bits, "few_bits", "layer1.0.conv2"),
    "a saturating first layer": (lambda n: faults.saturating(n.artifact, "conv1", 6), "saturated", "conv1"),
    "a first layer of too small a range": (lambda n: clipped(n, "conv1"), "clipped", "conv1"),
    "another mean and std": (
        lambda n: n.quantized(preprocess=replace(n.artifact.preprocess, mean=0.0, std=1.0)),
        "preprocess",
        None,
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_named_first_and_its_remedy_wins_it_back(name: str, network: Network) -> None:
    plant, kind, layer = PLANTED[name]
    audit = network.audit(plant(network))
    first = audit.findings[0]
    assert (first.kind, first.layer, first.is_fault) == (kind, layer, True), [f.text for f in audit.findings]
    lost = (audit.float_top1 or 0) - (audit.before.top1 or 0)
    assert lost > 1 or audit.before.agreement < 98
    assert won(first) >= 80, [(r.text, r.won_back) for r in first.remedies]


def won(finding: Finding) -> float:
    return max((remedy.won_back or 0 for remedy in finding.remedies), default=0.0)


def test_nothing_is_wrong_with_a_healthy_model(network: Network) -> None:
    audit = network.audit(network.artifact, parts=("layers",))
    assert [finding.kind for finding in audit.findings] == ["noisy"] * 3
    assert not any(finding.is_fault for finding in audit.findings)


def test_nobody_knows_the_preprocessing_and_it_is_found_by_the_labels(network: Network) -> None:
    wrong = network.quantized(preprocess=replace(network.artifact.preprocess, mean=0.0, std=1.0))
    audit = network.audit(wrong, preprocess=None, parts=("remedies",))
    assert audit.findings[0].kind == "preprocess"
    assert "a usual one" in audit.findings[0].text
    assert won(audit.findings[0]) >= 80
