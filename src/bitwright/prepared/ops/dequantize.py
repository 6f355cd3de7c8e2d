"""`dequantize` in PyTorch; `bitwright/ops/dequantize.py` defines it."""

from bitwright.prepared.ops.op import TorchOp

OP = TorchOp("dequantize", lambda call: call.xs[0], lambda call: call.centred() * call.tensors["m"])
