"""Attacks on models whose gradient is known, and through a prepared model."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

import bitwright as bw
from bitwright.audit.attacks import fgsm, pgd, through_float, through_prepared

PIXELS = np.array([[[[10, 250], [100, 0]]]], np.uint8)  # one image of 1 x 2, two channels
W = torch.tensor([[1.0, 0.0], [-2.0, 0.0], [0.0, 3.0], [0.0, 1.0]])
"""Of channel 0 left and right, then channel 1, as [4, classes]."""


def linear(x):
    return x.flatten(1) @ W / 100


def test_fgsm_goes_where_the_gradient_of_a_linear_model_points():
    """Of class 0 the loss grows along w_1 - w_0: -1, +2, +3, +1."""
    found = fgsm(linear, PIXELS, np.array([0]), 4)
    assert found.tolist() == [[[[6, 254], [104, 4]]]]


def test_pgd_ends_at_the_corner_of_what_is_allowed_and_within_the_pixels():
    """2.5 epsilon in all is brought back to epsilon; 250 + 8 to 255; and of class 1 all goes the other way, from 0 to 0."""
    assert pgd(linear, PIXELS, np.array([0]), 8).tolist() == [[[[2, 255], [108, 8]]]]
    assert pgd(linear, PIXELS, np.array([1]), 8).tolist() == [[[[18, 242], [92, 0]]]]


def test_a_model_of_one_logit_is_attacked_as_one_of_two():
    def one(x):
        return x.flatten(1) @ W[:, 1:] / 100

    assert fgsm(one, PIXELS, np.array([1]), 1).tolist() == [[[[10, 249], [100, 0]]]]
    assert fgsm(one, PIXELS, np.array([0]), 1).tolist() == [[[[10, 251], [100, 1]]]]


def test_both_routes_follow_the_model_that_they_name():
    """Of a network that rounding hardly changes both gradients are those that autograd has of the module."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 4),
    ).eval()
    preprocess = bw.Preprocess(size=8, mean=0.5, std=0.25)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3)).astype(np.uint8)
    classes = np.arange(64) % 4
    prepared = bw.prepare(net, preprocess=preprocess, recipe=bw.Recipe(algorithms=()))
    bw.calibrate(prepared, pixels)

    def module(x):
        return net((x / 255 - 0.5) / 0.25)

    wanted = fgsm(module, pixels, classes, 4)
    assert (fgsm(through_float(prepared), pixels, classes, 4) == wanted).mean() > 0.999
    assert (fgsm(through_prepared(prepared), pixels, classes, 4) == wanted).mean() > 0.95
    assert (np.abs(wanted.astype(int) - pixels) <= 4).all()
