"""From a PyTorch module to the float graph, through `torch.export`."""

from bitwright.capture.capture import Captured, capture, captured
from bitwright.capture.float_model import float_model
from bitwright.capture.fuse import fuse

__all__ = ["Captured", "capture", "captured", "float_model", "fuse"]
