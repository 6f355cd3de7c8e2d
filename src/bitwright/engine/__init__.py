"""The engine: runs an artifact on images, without PyTorch."""

from bitwright.engine.engine import Engine

__all__ = ["Engine"]
