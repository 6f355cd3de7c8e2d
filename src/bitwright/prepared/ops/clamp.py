"""`clamp` in PyTorch; `bitwright/ops/clamp.py` defines it."""

from bitwright.prepared.ops.op import TorchOp

OP = TorchOp("clamp", lambda call: call.xs[0].clamp(*call.attrs["clamp"]))
