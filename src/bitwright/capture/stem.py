"""`Stem`: what the file of a model says of its images, and does to them, before its network begins."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bitwright.images.preprocess import Preprocess


@dataclass(frozen=True)
class Stem:
    """The network reads gain * x + shift, where x is what the file takes.

    Fields:
        size: (H, W) of the images, where the file fixes them.
        channels: how many they have, where the file fixes that.
        gain, shift: one number a channel.
        takes_pixels: whether the file takes integers, and so pixels as they are, 0 to 255.
    """

    size: tuple[int, int] | None
    channels: int | None
    gain: tuple[float, ...] = (1.0,)
    shift: tuple[float, ...] = (0.0,)
    takes_pixels: bool = False

    @property
    def changes_numbers(self) -> bool:
        """Whether the file does something to its images itself."""
        return any(gain != 1 for gain in self.gain) or any(self.shift)

    @property
    def fixed(self) -> dict[str, Any]:
        """What the file fixes, as fields of a `Preprocess`."""
        size: dict[str, Any] = {} if self.size is None else {"size": self.size}
        mode = {"mode": "L"} if self.channels == 1 else {}
        return {**size, **mode, **({"scale": 1.0} if self.takes_pixels else {})}

    def behind(self, given: Preprocess) -> Preprocess:
        """The preprocessing of the network, where `given` is that of the file: (pixel * scale - mean) / std * gain + shift."""
        if not self.changes_numbers:
            return given
        mean, std = np.array(given.mean, np.float64), np.array(given.std, np.float64)
        gain, shift = np.array(self.gain), np.array(self.shift)
        new_std, new_mean = std / gain, mean - shift * std / gain
        return replace(given, mean=tuple(new_mean.tolist()), std=tuple(new_std.tolist()))
