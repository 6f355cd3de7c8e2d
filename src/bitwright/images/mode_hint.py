"""What to do about a model that takes another number of channels, or another size, than its images have, as its own error
tells."""

import re

from bitwright.images.preprocess import Preprocess

_CONVOLUTION = re.compile(r"to have (\d+) channels?, but got (\d+) channels?")
_LINEAR = re.compile(r"shapes cannot be multiplied \(\S+?x(\d+) and (\d+)x\d+\)")
_TRACED = re.compile(r"reduction dim, but got \[\S+, (\d+)\] X \[(\d+), \d+\]")
_PROGRAM = re.compile(r"takes images of \((\d+), .*?, expected \((\d+), ")

_TOO_SMALL = re.compile(r"[Kk]ernel size can't be greater than actual input size|Output size is too small")


def mode_hint(error: str, preprocess: Preprocess) -> str:
    """What to append to the text of an error: which mode, or else which size, to give; nothing where neither seems wrong.

    Known are the messages of PyTorch's convolutions and linear layers, and of capture for exported programs.
    """
    found, other = preprocess.channels, 4 - preprocess.channels
    expected = None
    for pattern in (_CONVOLUTION, _PROGRAM):
        if (match := pattern.search(error)) is not None and int(match[2]) == found:
            expected = int(match[1])
    for pattern in (_LINEAR, _TRACED):
        if (match := pattern.search(error)) is not None and int(match[1]) * other == int(match[2]) * found:
            expected = other  # as many pixels, of 1 channel in place of 3 or the other way round
    if (expected, found) == (1, 3):
        return '; the model takes 1 channel and the images have 3: for grey images give --mode L (mode="L")'
    if (expected, found) == (3, 1):
        return '; the model takes 3 channels and the images have 1: leave out --mode L, or give --mode RGB (mode="RGB")'
    if _LINEAR.search(error) or _TRACED.search(error) or _TOO_SMALL.search(error):
        height, width, _ = preprocess.shape
        size = f"{height}" if height == width else f"{height}x{width}"
        return f"; does the network take images of --size {size}? Give the size that it was trained with (size=)"
    return ""
