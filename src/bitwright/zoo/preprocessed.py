"""The decorator that tells what a network's images go through."""

from collections.abc import Callable
from typing import Protocol

from torch import nn

from bitwright.images.preprocess import Preprocess


class Factory(Protocol):
    """Makes a network; knows its preprocessing."""

    preprocess: Preprocess

    def __call__(self) -> nn.Module: ...


def preprocessed(preprocess: Preprocess) -> Callable[[Callable[[], nn.Module]], Factory]:
    """Give a factory its `preprocess`."""

    def mark(factory: Callable[[], nn.Module]) -> Factory:
        factory.preprocess = preprocess  # type: ignore[attr-defined]
        return factory  # type: ignore[return-value]

    return mark
