"""From a PyTorch module to the float graph, through `torch.export`."""

from bitwright.capture.capture import capture
from bitwright.capture.fuse import fuse

__all__ = ["capture", "fuse"]
