"""How large each channel of a value was over all calibration images, and how large it may be on more of them.

The greatest number that was seen is no bound: with every doubling of the images it grows, by as much as it grew from one half
of them to all. Half of the images, drawn at random, have the k-th greatest of the images' maxima as theirs with probability
2**-k, so that the growth is
    g[c] = t_1[c] / sum_k 2**-k t_k[c],   t_k the k-th greatest of the images' max |y[c]|
and 2**d times as many images have max |y[c]| = t_1[c] * g[c]**d. The estimate does not depend on the images' order.
"""

from collections.abc import Collection

import torch
from torch import Tensor

from bitwright.prepared import PreparedModel
from bitwright.ranks import Ranks, gather_arrays

DOUBLINGS = 4
"""Channels are expected to meet so many times as many images, as a power of two: EfficientNet-Lite0 gains 1.4 dB by it."""

MAXIMA = 10
"""Of so many images the maxima are kept: the next one would have a share of 2**-11."""

ROOM = 1.25
"""How much larger than any number that was seen the large channels of a value may be."""


class Extremes:
    """The least and the greatest number of each channel of the float values of these names, over all images that were seen."""

    def __init__(self, prepared: PreparedModel, names: Collection[str]) -> None:
        self._axes = {name: prepared.layer(name).axis for name in names}
        self._found: dict[str, tuple[Tensor, Tensor]] = {}
        self._maxima: dict[str, Tensor] = {}

    def see(self, name: str, y: Tensor) -> None:
        """Take a value's numbers into account, if it is one of these."""
        if name not in self._axes:
            return
        inside = [axis for axis in range(1, y.dim()) if axis != self._axes[name]]
        lo, hi = (y.amin(inside), y.amax(inside)) if inside else (y, y)
        self._add(name, lo.amin(0), hi.amax(0), torch.maximum(lo.abs(), hi.abs()))

    def merge(self, ranks: Ranks) -> None:
        """Take into account what other ranks have seen."""
        mine = {f"{name}\nlo": lo for name, (lo, _) in self._found.items()}
        mine |= {f"{name}\nhi": hi for name, (_, hi) in self._found.items()}
        mine |= {f"{name}\nmaxima": maxima for name, maxima in self._maxima.items()}
        device = next((lo.device for lo, _ in self._found.values()), torch.device("cpu"))
        everyone = gather_arrays(ranks, {name: tensor.cpu().numpy() for name, tensor in mine.items()})
        self._found, self._maxima = {}, {}
        for found in everyone:
            for name in self._axes:
                if f"{name}\nlo" in found:
                    ends = (torch.from_numpy(found[f"{name}\n{what}"]).to(device) for what in ("lo", "hi", "maxima"))
                    self._add(name, *ends)

    def _add(self, name: str, lo: Tensor, hi: Tensor, maxima: Tensor) -> None:
        """Take the ends [C] and the images' maxima [N, C] of a value into account."""
        if name in self._found:
            lo, hi = torch.minimum(lo, self._found[name][0]), torch.maximum(hi, self._found[name][1])
            maxima = torch.cat([self._maxima[name], maxima])
        self._found[name] = lo, hi
        self._maxima[name] = maxima.topk(min(MAXIMA, len(maxima)), dim=0).values

    def knows(self, name: str) -> bool:
        """Whether a value's numbers were seen."""
        return name in self._found

    def split(self, name: str, part: str, channels: Tensor) -> None:
        """Take these channels [C] (bool) of a value for its part's, with room; what is left of them is a step of it at most."""
        lo, hi = self._found[name]
        ends = torch.where(channels, lo, 0) * ROOM, torch.where(channels, hi, 0) * ROOM
        step = (ends[1].max() - ends[0].min()) / 255
        self._axes[part] = self._axes[name]
        self._found[part] = -ends[1], -ends[0]
        self._found[name] = torch.where(channels, -step, lo), torch.where(channels, step, hi)
        self._maxima[part] = torch.where(channels, self._maxima[name], 0)
        self._maxima[name] = torch.where(channels, 0, self._maxima[name])

    def largest(self) -> dict[str, Tensor]:
        """The greatest |y| of each channel, [C]."""
        return {name: torch.maximum(lo.abs(), hi.abs()) for name, (lo, hi) in self._found.items()}

    def growth(self) -> dict[str, Tensor]:
        """What the greatest |y| of each channel is multiplied by on 2**DOUBLINGS times as many images, [C]: at least 1."""
        return {name: _growth(maxima) ** DOUBLINGS for name, maxima in self._maxima.items()}

    def ends(self, name: str, scale: Tensor) -> tuple[float, float]:
        """The least and the greatest number of a value, its channels multiplied by `scale` [C]."""
        lo, hi = self._found[name]
        return float((lo * scale).min()), float((hi * scale).max())


def _growth(maxima: Tensor) -> Tensor:
    """The growth g [C] by one doubling, from the greatest of the images' maxima [K, C], in falling order."""
    share = 0.5 ** torch.arange(1, len(maxima) + 1, dtype=maxima.dtype, device=maxima.device)
    share[-1] *= 2
    half = (share[:, None] * maxima).sum(0)
    return torch.where(half > 0, maxima[0] / half, 1).clamp_min(1)
