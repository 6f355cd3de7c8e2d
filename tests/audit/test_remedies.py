"""What is measured of a remedy is what its recipe gives."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

import bitwright as bw
from bitwright.audit.examine import Effort, examine
from bitwright.audit.records import Audit

PREPROCESS = bw.Preprocess(size=8, mean=0.5, std=0.25)


def test_the_recipe_that_is_applied_makes_the_model_that_was_measured(tmp_path: Path) -> None:
    """Images with labels are drawn by class: remedies have to be fitted on the source, and not on its pixels alone."""
    random = np.random.default_rng(0)
    labels = random.choice(4, 80, p=[0.55, 0.25, 0.15, 0.05])
    images = (random.integers(0, 120, (80, 8, 8, 3)) + 40 * labels[:, None, None, None]).clip(0, 255).astype(np.uint8)
    np.savez(tmp_path / "images.npz", images=images, labels=labels)
    source = bw.open_source(str(tmp_path / "images.npz"))
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.SiLU(), nn.Conv2d(8, 8, 3), nn.SiLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)),
    ).eval()

    def quantized(recipe: bw.Recipe) -> bw.Artifact:
        return bw.quantize(net, source.sample(60, 0), preprocess=PREPROCESS, recipe=recipe)

    def audited(artifact: bw.Artifact) -> Audit:
        effort = Effort(images=80, fit=60, layer_images=16, seconds=600, timed=False)
        return examine(
            artifact, net, source, calibration=source, labels="index", parts=("layers", "remedies"), effort=effort
        )

    found = audited(quantized(bw.Recipe.parse("w3a4")))
    assert len(found.remedies) >= 4
    assert found.recipe is not None
    best = bw.Recipe.from_json(found.recipe)
    assert best != bw.Recipe.parse("w3a4")
    measured = audited(quantized(best)).before
    assert measured.db in [remedy.after.db for remedy in found.remedies]
