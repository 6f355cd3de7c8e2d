"""`batch_norm` in PyTorch; `bitwright/ops/batch_norm.py` defines it."""

from bitwright.prepared.ops.epilogue import finish
from bitwright.prepared.ops.op import TorchOp

OP = TorchOp(
    "batch_norm", lambda call: finish(call.xs[0], call), lambda call: call.epilogue(call.centred()), rounds=True
)
