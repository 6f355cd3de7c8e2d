"""The faults that are planted in real networks, and what an audit makes of each: `python -m tests.audit.planted --write`.

Writes the table of docs/audit.md; `test_planted_faults.py` asserts the same of every row.
"""

import argparse
import importlib
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import bitwright as bw
from bench.page import with_table
from bitwright.audit.matching import recipe_of
from bitwright.audit.records import Audit, Finding, Outcome, Remedy
from tests.audit import faults
from tests.audit.networks import NETWORKS, Network
from tests.conftest import REPOSITORY, data_folder

PAGE = REPOSITORY / "docs" / "audit.md"


@dataclass(frozen=True)
class Planted:
    """A fault, and what it has to be called.

    Fields:
        plant: makes the artifact that has it.
        kind, layer: of the finding.
        can_be_mended: False where the images cannot tell what would be right.
        many: it is looked for on several images of each class, of the network's `several`, and by answers alone.
    """

    plant: Callable[[Network], bw.Artifact]
    kind: str
    layer: str | None
    can_be_mended: bool = True
    many: bool = False


def wrong(network: Network) -> bw.Preprocess:
    """Another mean and std."""
    return replace(network.preprocess, mean=0.0, std=1.0)


OTHER_PIXELS = Planted(lambda n: n.quantized(preprocess=wrong(n)), "preprocess", None)
RESNET20 = {
    "a clipped range": Planted(lambda n: n.clipped("layer2.1.conv1"), "clipped", "layer2.1.conv1"),
    "a clipped residual path": Planted(lambda n: n.clipped("layer3.0.conv2"), "clipped", "layer3.0.conv2"),
    "a first layer of too small a range": Planted(lambda n: n.clipped("conv1"), "clipped", "conv1"),
    "12 dead channels": Planted(
        lambda n: faults.dead(n.artifact, "layer3.2.conv2", slice(0, 12)), "dead_channel", "layer3.2.conv2"
    ),
    "shuffled class names": Planted(lambda n: faults.shuffled(n.artifact, 10), "names", None),
    "a damaged weight block": Planted(
        lambda n: faults.damaged(n.artifact, "layer1.1.conv1"), "weights", "layer1.1.conv1"
    ),
    "one layer at 3 bits": Planted(lambda n: n.narrow("conv1", "int3"), "few_bits", "conv1"),
    "a saturating first layer": Planted(lambda n: faults.multiplied(n.artifact, "conv1", 6), "multiplier", "conv1"),
    "multipliers twice as large": Planted(lambda n: faults.multiplied(n.artifact, "conv1", 2), "multiplier", "conv1"),
    "a few multipliers too small": Planted(
        lambda n: faults.multiplied(n.artifact, "layer1.1.conv1", 0.4, slice(0, 4)), "multiplier", "layer1.1.conv1"
    ),
    "one wrong bias": Planted(
        lambda n: faults.shifted(n.artifact, "layer2.1.conv2", 80, slice(3, 4)), "bias", "layer2.1.conv2"
    ),
    "no biases": Planted(lambda n: faults.without_biases(n.artifact, "layer2.1.conv2"), "bias", "layer2.1.conv2"),
    "another mean and std": OTHER_PIXELS,
}
MOBILENET_V2 = {
    "a clipped range": Planted(lambda n: n.clipped("features.4.conv.1.0"), "clipped", "features.4.conv.1.0"),
    "a first layer of too small a range": Planted(lambda n: n.clipped("features.0.0"), "clipped", "features.0.0"),
    "6 dead channels": Planted(
        lambda n: faults.dead(n.artifact, "features.1.conv.0.0", slice(0, 6)), "dead_channel", "features.1.conv.0.0"
    ),
    "shuffled class names": Planted(lambda n: faults.shuffled(n.artifact, 16), "names", None),
    "a damaged weight block": Planted(
        lambda n: faults.damaged(n.artifact, "features.2.conv.0.0", slice(3, 9)), "weights", "features.2.conv.0.0"
    ),
    "one layer at 3 bits": Planted(
        lambda n: n.narrow("features.1.conv.0.0", "int3"), "few_bits", "features.1.conv.0.0"
    ),
    "a saturating first layer": Planted(
        lambda n: faults.multiplied(n.artifact, "features.0.0", 6), "multiplier", "features.0.0"
    ),
    "multipliers twice as large in an equalized layer": Planted(
        lambda n: faults.multiplied(n.artifact, "features.4.conv.2", 2, slice(2, 5)), "multiplier", "features.4.conv.2"
    ),
    "no biases in an equalized layer": Planted(
        lambda n: faults.without_biases(n.artifact, "features.4.conv.2"), "bias", "features.4.conv.2"
    ),
    "another mean and std": OTHER_PIXELS,
}
VIT_TINY = {
    "a clipped range": Planted(lambda n: n.clipped("blocks.3.mlp.fc1"), "clipped", "blocks.3.mlp.fc1"),
    "300 dead channels in front of GELU": Planted(
        lambda n: faults.dead(n.artifact, "blocks.1.mlp.fc1", slice(0, 300)), "dead_channel", "blocks.1.mlp.fc1"
    ),
    "shuffled class names, several pictures a class": Planted(
        lambda n: faults.shuffled(n.artifact, 1000), "names", None, many=True
    ),
    "shuffled class names, one picture a class": Planted(
        lambda n: faults.shuffled(n.artifact, 1000), "names", None, can_be_mended=False
    ),
    "a damaged weight block": Planted(
        lambda n: faults.damaged(n.artifact, "blocks.2.attn.proj", slice(0, 96)), "weights", "blocks.2.attn.proj"
    ),
    "one layer at 3 bits": Planted(lambda n: n.narrow("blocks.0.mlp.fc2", "int3"), "few_bits", "blocks.0.mlp.fc2"),
    "a saturating first layer": Planted(
        lambda n: faults.multiplied(n.artifact, "patch_embed.proj", 6), "multiplier", "patch_embed.proj"
    ),
    "a norm's multipliers twice as large": Planted(
        lambda n: faults.multiplied(n.artifact, "blocks.6.norm1.layer_norm", 2),
        "multiplier",
        "blocks.6.norm1.layer_norm",
    ),
    "another mean and std": OTHER_PIXELS,
}
PLANTED = {"resnet20": RESNET20, "mobilenet_v2": MOBILENET_V2, "vit_tiny": VIT_TINY}


@dataclass(frozen=True)
class Found:
    """What an audit made of a planted fault; `sound` is the healthy model's outcome, where decibels are what was lost."""

    audit: Audit
    float_top1: float
    sound: Outcome | None

    @property
    def first(self) -> Finding:
        return self.audit.findings[0]

    @property
    def faults(self) -> list[Finding]:
        return [finding for finding in self.audit.findings if finding.is_fault]

    @property
    def remedy(self) -> Remedy | None:
        """The best of those that were tried for what is named first."""
        return max(self.first.remedies, key=self.won_by, default=None)

    def won_by(self, remedy: Remedy) -> float:
        """Percent of the loss: of answers, or of decibels where few images leave no others."""
        if self.sound is None or self.first.kind == "names":
            return remedy.won_back or 0.0
        before = self.audit.before.db
        return 100 * (remedy.after.db - before) / (self.sound.db - before)

    @property
    def lost(self) -> str:
        """What the fault costs, in words; empty where that is next to nothing."""
        before = self.audit.before
        if self.sound is not None and self.first.kind != "names":
            return f"{self.sound.db - before.db:.1f} dB" if self.sound.db - before.db > 0.5 else ""
        points = self.float_top1 - (self.float_top1 if before.top1 is None else before.top1)
        if points > 1:
            return f"{points:.1f} points"
        return f"{100 - before.agreement:.1f} % of the answers" if before.agreement < 98 else ""

    def row(self, name: str) -> str:
        before, best = self.audit.before, self.remedy
        of_layer = "" if self.first.layer is None else f" in `{self.first.layer}`"
        others = len(self.faults) - 1
        first = f"`{self.first.kind}`{of_layer}{f', and {others} more' if others > 0 else ''}"
        after = (
            "- | - | -" if best is None else f"{_top1(best.after)} | {best.after.db:.1f} | {self.won_by(best):.0f} %"
        )
        costs = "unknown" if best is None else self.lost or "little"
        return f"| {name} | {first} | {_top1(before)} | {before.db:.1f} | {costs} | {after} |"


def _top1(outcome: Outcome) -> str:
    return "-" if outcome.top1 is None else f"{outcome.top1:.1f}"


def examined(network: Network, planted: Planted) -> Found:
    """Plant a fault, and audit the artifact that has it."""
    artifact = planted.plant(network)
    audit = network.audit_of_several(artifact) if planted.many else network.audit(artifact)
    sound = None
    if network.several is not None:
        plain = bw.Recipe(algorithms=())  # which `clipped` quantizes by
        healthy = network.quantized(recipe=plain) if recipe_of(artifact) == plain else network.artifact
        sound = network.audit(healthy, parts=("decisions",)).before
    return Found(audit, 0.0 if audit.float_top1 is None else audit.float_top1, sound)


HEAD = (
    "| planted | named first | top-1 with it | dB with it | it costs | with the remedy: top-1 | dB | won back |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |"
)


def write(network: str, name: str, row: str) -> None:
    """Put the row of a fault into the page, in the place of the one that it has."""
    page, mark = PAGE.read_text("utf-8"), f"planted-{network}"
    (before,) = re.findall(rf"<!-- begin {mark} -->\n(.*?)<!-- end {mark} -->", page, re.DOTALL)
    kept = {line.split(" | ")[0].removeprefix("| "): line for line in before.splitlines()} | {name: row}
    table = "\n".join([HEAD, *(kept[each] for each in PLANTED[network] if each in kept)])
    PAGE.write_text(with_table(page, mark, f"{table}\n"), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PLANTED, default=list(PLANTED))
    parser.add_argument("--rows", nargs="+", metavar="FAULT", help="measure these alone; the page keeps its others")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/audit.md")
    given = parser.parse_args()
    importlib.import_module("bench.with_torchvision")  # where the compiled operators of torchvision do not load
    for name in given.only:
        with tempfile.TemporaryDirectory() as folder:
            network = NETWORKS[name](data_folder(), Path(folder))
            for fault in given.rows or PLANTED[name]:
                row = examined(network, PLANTED[name][fault]).row(fault)
                print(row, flush=True)
                if given.write:
                    write(name, fault, row)


if __name__ == "__main__":
    main()
