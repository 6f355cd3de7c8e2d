"""`permute` in PyTorch; `bitwright/ops/permute.py` defines it."""

from bitwright.prepared.ops.op import moving

OP = moving("permute", lambda attrs, xs: xs[0].permute(0, *(d + 1 for d in attrs["dims"])))
