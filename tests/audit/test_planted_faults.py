"""Each fault that is planted in a real network is what the audit names first, and its remedy wins back most of the loss."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

import bitwright as bw
from bitwright.audit.matching import recipe_of
from bitwright.audit.records import Finding
from tests.audit import faults
from tests.audit.networks import NETWORKS, Network

Planted = tuple[Callable[[Network], bw.Artifact], str, str | None]
RESNET20: dict[str, Planted] = {
    "a clipped range": (lambda n: n.clipped("layer2.1.conv1"), "clipped", "layer2.1.conv1"),
    "a clipped residual path": (lambda n: n.clipped("layer3.0.conv2"), "clipped", "layer3.0.conv2"),
    "a first layer of too small a range": (lambda n: n.clipped("conv1"), "clipped", "conv1"),
    "dead channels": (
        lambda n: faults.dead(n.artifact, "layer3.2.conv2", slice(0, 12)),
        "dead_channel",
        "layer3.2.conv2",
    ),
    "shuffled class names": (lambda n: faults.shuffled(n.artifact, 10), "names", None),
    "a damaged weight block": (lambda n: faults.damaged(n.artifact, "layer1.1.conv1"), "weights", "layer1.1.conv1"),
    "one layer with few bits": (lambda n: n.narrow("conv1", "int3"), "few_bits", "conv1"),
    "a saturating first layer": (lambda n: faults.multiplied(n.artifact, "conv1", 6), "multiplier", "conv1"),
    "multipliers twice as large": (lambda n: faults.multiplied(n.artifact, "conv1", 2), "multiplier", "conv1"),
    "a few multipliers too small": (
        lambda n: faults.multiplied(n.artifact, "layer1.1.conv1", 0.4, slice(0, 4)),
        *("multiplier", "layer1.1.conv1"),
    ),
    "one wrong bias": (
        lambda n: faults.shifted(n.artifact, "layer2.1.conv2", 80, slice(3, 4)),
        *("bias", "layer2.1.conv2"),
    ),
    "no biases": (lambda n: faults.without_biases(n.artifact, "layer2.1.conv2"), "bias", "layer2.1.conv2"),
    "another mean and std": (lambda n: n.quantized(preprocess=wrong(n)), "preprocess", None),
}
MOBILENET_V2: dict[str, Planted] = {
    "a clipped range": (lambda n: n.clipped("features.4.conv.1.0"), "clipped", "features.4.conv.1.0"),
    "a first layer of too small a range": (lambda n: n.clipped("features.0.0"), "clipped", "features.0.0"),
    "dead channels": (
        lambda n: faults.dead(n.artifact, "features.1.conv.0.0", slice(0, 6)),
        "dead_channel",
        "features.1.conv.0.0",
    ),
    "shuffled class names": (lambda n: faults.shuffled(n.artifact, 16), "names", None),
    "a damaged weight block": (
        lambda n: faults.damaged(n.artifact, "features.2.conv.0.0"),
        "weights",
        "features.2.conv.0.0",
    ),
    "one layer with few bits": (
        lambda n: n.narrow("features.1.conv.1", "int2"),
        "few_bits",
        "features.1.conv.1",
    ),
    "a saturating first layer": (
        lambda n: faults.multiplied(n.artifact, "features.0.0", 6),
        "multiplier",
        "features.0.0",
    ),
    "multipliers twice as large in an equalized layer": (
        lambda n: faults.multiplied(n.artifact, "features.4.conv.2", 2, slice(2, 5)),
        *("multiplier", "features.4.conv.2"),
    ),
    "no biases in an equalized layer": (
        lambda n: faults.without_biases(n.artifact, "features.4.conv.2"),
        *("bias", "features.4.conv.2"),
    ),
    "another mean and std": (lambda n: n.quantized(preprocess=wrong(n)), "preprocess", None),
}
VIT_TINY: dict[str, Planted] = {
    "a clipped range": (lambda n: n.clipped("blocks.3.mlp.fc1"), "clipped", "blocks.3.mlp.fc1"),
    "a damaged weight block": (
        lambda n: faults.damaged(n.artifact, "blocks.2.attn.proj", slice(0, 96)),
        *("weights", "blocks.2.attn.proj"),
    ),
    "a norm's multipliers twice as large": (
        lambda n: faults.multiplied(n.artifact, "blocks.6.norm1.layer_norm", 2),
        *("multiplier", "blocks.6.norm1.layer_norm"),
    ),
}
ALL = {"resnet20": RESNET20, "mobilenet_v2": MOBILENET_V2}


def wrong(network: Network) -> bw.Preprocess:
    return replace(network.preprocess, mean=0.0, std=1.0)


@pytest.fixture(scope="module")
def networks(
    data_dir: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Callable[[str], Network]:
    made: dict[str, Network] = {}

    def get(name: str) -> Network:
        if name in ("mobilenet_v2", "vit_tiny"):
            request.getfixturevalue("torchvision")
        if name == "vit_tiny":
            pytest.importorskip("timm")
        if name not in made:
            made[name] = NETWORKS[name](data_dir, tmp_path_factory.mktemp(name))
        return made[name]

    return get


@pytest.mark.parametrize(("network", "name"), [(network, name) for network, planted in ALL.items() for name in planted])
def test_a_planted_fault_is_named_first_and_its_remedy_wins_it_back(
    network: str, name: str, networks: Callable[[str], Network]
) -> None:
    plant, kind, layer = ALL[network][name]
    audit = networks(network).audit(plant(networks(network)))
    first = audit.findings[0]
    assert (first.kind, first.layer, first.is_fault) == (kind, layer, True), [f.text for f in audit.findings]
    assert sum(finding.is_fault for finding in audit.findings) == 1, [f.text for f in audit.findings]
    assert ("saturates" in first.text) >= ("saturating" in name), first.text
    assert (audit.float_top1 or 0) - (audit.before.top1 or 0) > 1 or audit.before.agreement < 98
    assert won(first) >= 80, [(r.text, r.won_back) for r in first.remedies]


def won(finding: Finding) -> float:
    return max((remedy.won_back or 0 for remedy in finding.remedies), default=0.0)


@pytest.mark.parametrize("name", VIT_TINY)
def test_a_fault_in_a_transformer_is_named_first_and_its_remedy_gives_what_a_sound_model_has(
    name: str, networks: Callable[[str], Network]
) -> None:
    """At 8 bits this one loses answers as it is, which no remedy of another fault wins back."""
    network = networks("vit_tiny")
    plant, kind, layer = VIT_TINY[name]
    planted = plant(network)
    plain = bw.Recipe(algorithms=())  # which `clipped` quantizes by
    healthy = network.quantized(recipe=plain) if recipe_of(planted) == plain else network.artifact
    sound, audit = network.audit(healthy, parts=("decisions",)).before, network.audit(planted)
    faults_found = [finding for finding in audit.findings if finding.is_fault]
    assert [(f.kind, f.layer) for f in faults_found] == [(kind, layer)], [f.text for f in audit.findings]
    assert audit.findings[0].is_fault
    lost = sound.db - audit.before.db
    assert lost > 0.5
    assert max(remedy.after.db for remedy in faults_found[0].remedies) - audit.before.db >= 0.8 * lost


def test_dead_channels_in_front_of_gelu_are_among_the_faults(networks: Callable[[str], Network]) -> None:
    """Not the only one: their scales are lost, and so what GELU makes of them and who reads it look damaged, too."""
    network = networks("vit_tiny")
    audit = network.audit(faults.dead(network.artifact, "blocks.1.mlp.fc1", slice(0, 300)))
    assert ("dead_channel", "blocks.1.mlp.fc1") in {(f.kind, f.layer) for f in audit.findings if f.is_fault}


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_is_wrong_with_a_healthy_model(name: str, networks: Callable[[str], Network]) -> None:
    network = networks(name)
    audit = network.audit(network.artifact, parts=("layers",))
    assert [finding.kind for finding in audit.findings] == ["noisy"] * 3
    assert not any(finding.is_fault for finding in audit.findings)


def test_nobody_knows_the_preprocessing_and_it_is_found_by_the_labels(networks: Callable[[str], Network]) -> None:
    network = networks("resnet20")
    audit = network.audit(network.quantized(preprocess=wrong(network)), preprocess=None, parts=("remedies",))
    assert audit.findings[0].kind == "preprocess"
    assert "a usual one" in audit.findings[0].text
    assert won(audit.findings[0]) >= 80
