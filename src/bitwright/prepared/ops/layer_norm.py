"""`layer_norm` in PyTorch; `bitwright/ops/layer_norm.py` defines it."""

import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.prepared.ops.epilogue import finish
from bitwright.prepared.ops.op import FloatCall, IntegerCall, TorchOp, along


def float_function(call: FloatCall) -> Tensor:
    t, xs = call.tensors, call.xs
    if "factors" in t:
        xs = [x * along(factor, call.axis, x.dim()) for x, factor in zip(xs, t["factors"], strict=True)]
    x = sum(xs[1:], xs[0]).movedim(call.axis, -1)
    y = F.layer_norm(x, x.shape[-1:], t["bn_weight"], t["bn_bias"], call.attrs["eps"])
    return finish(y.movedim(-1, call.axis), call)


def integer_function(call: IntegerCall) -> Tensor:
    """The norm of one value by the codes themselves: their zero point cancels."""
    count, step = call.output.channels, 1
    if len(call.xs) > 1:
        column = call.output.column
        terms = [call.centred(i) * (m.reshape(column) if m.dim() else m) for i, m in enumerate(call.tensors["m_x"])]
        number = terms[0]
        for term in terms[1:]:
            number = number + term
    else:
        number, step = call.xs[0], call.inputs[0].type.step if call.inputs[0].type else 1
    x = number.round().to(torch.int64).movedim(call.output.axis, -1)
    total = x.sum(-1, keepdim=True)
    variance = (step * step * (count * x.square().sum(-1, keepdim=True) - total.square())).to(torch.float64)
    r = (variance + call.tensors["e"].to(torch.float64)).sqrt().reciprocal().to(torch.float32)
    return call.epilogue(((step * (count * x - total)).to(torch.float32) * r).movedim(-1, call.output.axis))


OP = TorchOp("layer_norm", float_function, integer_function)
