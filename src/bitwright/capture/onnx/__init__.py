"""From an ONNX file to a module that PyTorch runs, and `torch.export` captures as it captures any other.

`reading.py` takes the file apart and trusts nothing in it; `simplify.py` has the `onnx` packages fold and simplify it;
`idioms.py` puts together again what exporters took apart; `network.py` is the module, and `table.py` says which function of
PyTorch each op is. So ONNX and PyTorch share one table of meanings, that of ATen, and one builder.
"""

from bitwright.capture.onnx.network import OnnxNetwork
from bitwright.capture.onnx.opened import Opened, open_onnx

__all__ = ["OnnxNetwork", "Opened", "open_onnx"]
