"""The optimizer: what decays, what moves relative to its size, and what the average is."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import bitwright as bw
from bitwright.prepared import PreparedModel
from bitwright.recipe import Recipe, Rule
from bitwright.training import Options
from bitwright.training.optimizer import optimizer_of, update_average
from tests.networks import pictures

PREPROCESS = bw.Preprocess(size=8, mean=0.5, std=0.25)


def prepared() -> PreparedModel:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.PReLU(4), nn.Conv2d(4, 4, 3)]
    model = nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    recipe = replace(Recipe.parse("w4a4"), group=2, last=Rule(group=2), training="lsq")  # scales of two axes, too
    return bw.prepare_qat(model, preprocess=PREPROCESS, recipe=recipe, images=pictures(PREPROCESS, 4))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_weights_of_two_axes_decay_and_nothing_else(optimizer: str) -> None:
    """No gain, shift, slope or bias; scales least of all, which for AdamW move by shares of their own size."""
    made = prepared()
    names = {id(p): name for name, p in made.named_parameters()}
    groups = optimizer_of(made, Options(optimizer=optimizer, weight_decay=0.01)).param_groups
    assert sorted(names[id(p)] for group in groups for p in group["params"]) == sorted(names.values())
    for group in groups:
        for p in group["params"]:
            name = names[id(p)]
            is_weight = name.endswith(".weight") and p.dim() >= 2
            assert group["weight_decay"] == (0.01 if is_weight else 0.0), name
            relative = optimizer == "adamw" and name.endswith(".scale")
            assert group["share"] == (pytest.approx(min(1.0, p.detach().abs().mean().item())) if relative else 1.0)
    axes = {name: p.dim() for name, p in made.named_parameters()}
    assert {dim for name, dim in axes.items() if name.endswith("weight")} >= {1, 2, 4}
    assert {dim for name, dim in axes.items() if name.endswith(".scale")} == {0, 1, 2}


def test_the_average_follows_the_parameters() -> None:
    made, average = prepared(), dict[str, torch.Tensor]()
    update_average(average, made, 0.9)
    before = {name: p.detach().clone() for name, p in made.named_parameters()}
    with torch.no_grad():
        for p in made.parameters():
            p.add_(1.0)
    assert all(torch.equal(average[name], before[name]) for name in before)
    update_average(average, made, 0.9)
    for name, value in before.items():
        torch.testing.assert_close(average[name], value + 0.1)
