"""`reshape` in PyTorch; `bitwright/ops/reshape.py` defines it."""

from bitwright.prepared.ops.op import moving

OP = moving("reshape", lambda attrs, xs: xs[0].reshape(xs[0].shape[0], *attrs["shape"]))
