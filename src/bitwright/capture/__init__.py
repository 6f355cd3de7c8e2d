"""From a PyTorch module to the float graph, through `torch.export`."""

from bitwright.capture.capture import Captured, capture, captured, classifier, left_out
from bitwright.capture.fuse import fuse
from bitwright.capture.unwrap import unwrap

__all__ = ["Captured", "capture", "captured", "classifier", "fuse", "left_out", "unwrap"]
