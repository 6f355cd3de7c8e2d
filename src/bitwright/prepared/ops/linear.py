"""`linear` in PyTorch; `bitwright/ops/linear.py` defines it."""

import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.graph import Node
from bitwright.prepared.ops.epilogue import finish
from bitwright.prepared.ops.op import FloatCall, IntegerCall, TorchOp


def float_function(call: FloatCall) -> Tensor:
    return finish(F.linear(call.xs[0], call.tensors["weight"], call.tensors.get("bias")), call)


def integer_function(call: IntegerCall) -> Tensor:
    x, weight, m = call.centred().double(), call.tensors["weight"].double(), call.tensors["m"]
    if m.dim() == 1:
        return call.epilogue(x @ weight.T)
    t = call.tensors["b"].expand(*x.shape[:-1], len(weight))
    for part, w, scale in zip(x.chunk(m.shape[1], -1), weight.chunk(m.shape[1], 1), m.unbind(1), strict=True):
        t = t + (part @ w.T).to(torch.float32) * scale
    return call.finish(t)


def windows(node: Node, x: Tensor) -> Tensor:
    return x.reshape(1, -1, x.shape[-1]).mT


OP = TorchOp("linear", float_function, integer_function, rounds=True, windows=windows)
