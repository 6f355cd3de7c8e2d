"""`group_norm` in PyTorch; `bitwright/ops/group_norm.py` defines it."""

import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.prepared.ops.epilogue import finish
from bitwright.prepared.ops.op import FloatCall, IntegerCall, TorchOp


def float_function(call: FloatCall) -> Tensor:
    t = call.tensors
    y = F.group_norm(call.xs[0], call.attrs["groups"], t["bn_weight"], t["bn_bias"], call.attrs["eps"])
    return finish(y, call)


def integer_function(call: IntegerCall) -> Tensor:
    """The norm of the codes themselves: their zero point cancels."""
    x = call.xs[0].to(torch.int64).flatten(1).unflatten(1, (call.node.attrs["groups"], -1))
    n, step = x.shape[2], call.inputs[0].type.step if call.inputs[0].type else 1
    total, squares = x.sum(2, keepdim=True), x.square().sum(2, keepdim=True)
    variance = (step * step * (n * squares - total.square())).to(torch.float64)
    r = (variance + call.tensors["e"].to(torch.float64)).sqrt().reciprocal().to(torch.float32)
    t = (step * (n * x - total)).to(torch.float32) * r
    return call.epilogue(t.reshape(call.xs[0].shape))


OP = TorchOp("group_norm", float_function, integer_function)
