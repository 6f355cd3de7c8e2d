"""From an artifact to formats that other runtimes read. Imports no torch."""

from bitwright.export.biases import with_int32_biases
from bitwright.export.qdq import to_onnx

__all__ = ["to_onnx", "with_int32_biases"]
