"""A model of one channel is offered grey images, and one of three channels colours."""

import numpy as np
import pytest
import torch
from torch import nn

import bitwright as bw
from bitwright.errors import CaptureError
from bitwright.images.mode_hint import mode_hint

RGB, GREY = bw.Preprocess(size=6), bw.Preprocess(size=6, mode="L")
HINTS = {1: "--mode L", 3: "leave out --mode L"}


def convolution(channels: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.Flatten(), nn.Linear(64, 3))


def linear(channels: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * 36, 3))


def program(channels: int) -> torch.export.ExportedProgram:
    shapes = ({0: torch.export.Dim("batch")},)
    return torch.export.export(convolution(channels), (torch.zeros(2, channels, 6, 6),), dynamic_shapes=shapes)


@pytest.mark.parametrize("make", [convolution, linear, program])
@pytest.mark.parametrize(("channels", "pre"), [(1, RGB), (3, GREY)])
def test_the_error_says_which_mode_to_give(make, channels: int, pre: bw.Preprocess):
    images = np.zeros((4, *pre.shape), np.uint8)
    with pytest.raises(CaptureError) as error:
        bw.quantize(make(channels), images, preprocess=pre)
    assert HINTS[channels] in str(error.value)


@pytest.mark.parametrize(("channels", "size"), [(4, 6), (2, 6)])
def test_other_numbers_of_channels_are_none_of_its_business(channels: int, size: int):
    with pytest.raises(CaptureError) as error:
        bw.prepare(convolution(channels), preprocess=bw.Preprocess(size=size))
    assert "--mode" not in str(error.value)


def test_another_size_is_no_matter_of_channels():
    with pytest.raises(CaptureError, match="does the network take images of --size 7x9") as error:
        bw.prepare(linear(3), preprocess=bw.Preprocess(size=(7, 9)))
    assert "--mode" not in str(error.value)
    with pytest.raises(CaptureError, match="does the network take images of --size 2"):
        bw.prepare(convolution(3), preprocess=bw.Preprocess(size=2))
    assert mode_hint("out of memory", RGB) == ""
