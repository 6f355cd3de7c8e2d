"""Each fault that is planted in a real network is what the audit names first, and its remedy wins back most of the loss."""

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.audit.networks import NETWORKS, Network
from tests.audit.planted import PLANTED, examined, wrong

ALL = [(network, name) for network, planted in PLANTED.items() for name in planted]


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


@pytest.mark.parametrize(("network", "name"), ALL)
def test_a_planted_fault_is_named_first_and_its_remedy_wins_it_back(
    network: str, name: str, networks: Callable[[str], Network]
) -> None:
    planted = PLANTED[network][name]
    found = examined(networks(network), planted)
    texts = [finding.text for finding in found.audit.findings]
    assert (found.first.kind, found.first.layer, found.first.is_fault) == (planted.kind, planted.layer, True), texts
    assert len(found.faults) == 1, texts
    assert ("saturates" in found.first.text) >= ("saturating" in name), found.first.text
    if planted.can_be_mended:
        assert found.lost
        assert found.remedy is not None
        assert found.won_by(found.remedy) >= 80, [(r.text, r.won_back) for r in found.first.remedies]
    else:
        assert found.remedy is None


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
    assert max(remedy.won_back or 0 for remedy in audit.findings[0].remedies) >= 80
