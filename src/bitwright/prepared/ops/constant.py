"""`constant` in PyTorch; `bitwright/ops/constant.py` defines it."""

from bitwright.prepared.ops.op import TorchOp

OP = TorchOp("constant", lambda call: call.tensors["value"][None], lambda call: call.tensors["codes"][None])
