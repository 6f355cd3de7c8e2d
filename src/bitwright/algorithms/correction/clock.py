"""How long corrections may go on: what is learned in steps follows the clock where that is ahead of the steps.

What is computed and not learned, such as the rounding that `reconstruct` begins with, is done whole.
A limit makes the result depend on the machine: without one, the same inputs and seed give the same bytes.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """A time from `begun` until `until`, both of `time.monotonic`."""

    begun: float = 0.0
    until: float = math.inf

    @classmethod
    def of(cls, seconds: float) -> "Span":
        """From now on."""
        now = time.monotonic()
        return cls(now, now + seconds)

    @property
    def left(self) -> float:
        """Seconds, 0 or more."""
        return max(0.0, self.until - time.monotonic())

    def part(self, share: float) -> "Span":
        """This share of what is left, from now on."""
        return self if self.until == math.inf else Span.of(share * self.left)

    def progress(self, done: float) -> float:
        """How far work is of which the share `done` is done, 0 to 1: as far as the clock, where that is ahead."""
        if self.until == math.inf:
            return done
        passed = (time.monotonic() - self.begun) / max(self.until - self.begun, 1e-9)
        return min(1.0, max(done, passed))


def parts(span: Span, sizes: Sequence[float], index: int) -> Span:
    """What piece `index` of some pieces of work of these sizes may take of what is left when it begins."""
    return span.part(sizes[index] / (sum(sizes[index:]) or 1.0))
