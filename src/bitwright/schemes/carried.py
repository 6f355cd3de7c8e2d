"""`Carried`: a scheme from outside this package, which an artifact holds as the narrowest of ours that has all its numbers.

So whoever loads the artifact needs nothing but bitwright, and no code of the scheme's author runs there: `{-2, ..., +2}` lies
in the file, and runs, as int3.
"""

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.errors import PluginError
from bitwright.registry import instance_of
from bitwright.schemes.affine import Affine
from bitwright.schemes.bit import Bit
from bitwright.schemes.scheme import Scheme
from bitwright.schemes.ternary import Ternary

CARRIERS: tuple[Scheme, ...] = (
    *(Bit(), Ternary()),
    *(Affine(bits, signed=signed) for bits in range(2, 9) for signed in (True, False)),
)
"""Narrowest first."""


class Carried(Scheme):
    """A subclass says `name`, `lo`, `hi` and whether it is for `weights` or for `activations`, and may choose its scales.

    Weights are all whole numbers lo..hi, within -127..127; activations all codes 0..hi, at most 255. `weight_scale` and
    `activation_range` are for a scheme whose numbers are too few for a range algorithm.
    """

    weights = activations = False

    @cached_property
    def carrier(self) -> Scheme:
        """The scheme of bitwright's that holds its numbers."""
        return next(
            ours
            for ours in CARRIERS
            if ours.lo <= self.lo and self.hi <= ours.hi and (ours.weights if self.weights else ours.activations)
        )

    @property
    def bits(self) -> float:  # type: ignore[override]  # of the others it is a plain number
        return self.carrier.bits

    def packed_bytes(self, count: int) -> int:
        return self.carrier.packed_bytes(count)

    def pack(self, codes: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
        return self.carrier.pack(codes)

    def unpack(self, packed: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.generic]:
        return self.carrier.unpack(packed, count)


def check_carried(name: str, thing: Any) -> Scheme:
    """A scheme from outside; PluginError where an artifact could not hold it."""
    scheme = instance_of(Carried, name, thing, "scheme")
    where = f"the scheme {name!r}"
    if scheme.weights is scheme.activations:
        raise PluginError(f"{where}: expected it to be for weights or for activations, found {scheme.weights} for both")
    lo, hi = (getattr(scheme, key, None) for key in ("lo", "hi"))
    least, most = (-127, 127) if scheme.weights else (0, 255)
    if not (type(lo) is int and type(hi) is int and least <= lo <= hi <= most and lo <= 0 < hi):
        raise PluginError(
            f"{where}: expected whole numbers lo <= 0 < hi within {least}..{most}, found lo = {lo!r}, hi = {hi!r}"
        )
    if scheme.activations and lo:
        raise PluginError(f"{where}: the codes of activations begin at 0, found lo = {lo}")
    if scheme.step != 1:
        raise PluginError(f"{where}: expected whole numbers one apart, found a step of {scheme.step!r}")
    tries = np.linspace(2.0 * lo - 1, 2.0 * hi + 1, 101)
    if not np.array_equal(scheme.nearest(tries), np.clip(np.rint(tries), lo, hi)):
        raise PluginError(
            f"{where}: its `nearest` has to be clip(rint(x), lo, hi): training and the engine have all whole numbers lo..hi"
        )
    return scheme
