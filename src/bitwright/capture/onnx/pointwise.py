"""Elementwise ops, as ONNX spells them. A constant that is one number stays a number."""

import math
import operator
from collections.abc import Callable
from functools import reduce
from typing import Any

import onnx
import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.capture.onnx.call import Call, Function, Operand, Unread
from bitwright.ops.functions import SELU_ALPHA, SELU_SCALE


def of_one(function: Callable[[Tensor], Tensor]) -> Function:
    """A function of one number without attributes."""
    return lambda call: function(call.tensor(0))


def of_two(function: Callable[[Any, Any], Any]) -> Function:
    """A function of two operands, one of which at least is a tensor."""

    def run(call: Call) -> Any:
        x, other = call.number(0), call.number(1)
        if not isinstance(x, Tensor) and not isinstance(other, Tensor):
            x = call.tensor(0)
        return function(x, other)

    return run


def of_many(function: Callable[[Any, Any], Any]) -> Function:
    """A function of any number of operands, two at a time."""
    return lambda call: reduce(function, [call.tensor(i) for i in range(len(call.operands))])


def bound(name: str) -> Function:
    """Min and Max: with a number they are a clamp."""

    def run(call: Call) -> Tensor:
        found = [call.number(i) for i in range(len(call.operands))]
        tensors = [x for x in found if isinstance(x, Tensor)] or [call.tensor(0)]
        numbers = [x for x in found if not isinstance(x, Tensor)]
        x = reduce(torch.minimum if name == "Min" else torch.maximum, tensors)
        if not numbers:
            return x
        return x.clamp(max=min(numbers)) if name == "Min" else x.clamp(min=max(numbers))

    return run


def power(call: Call) -> Tensor:
    exponent = call.number(1)
    return call.tensor(0).pow(exponent)


def clip(call: Call) -> Tensor:
    lo, hi = call.scalar(1, call.attr("min")), call.scalar(2, call.attr("max"))
    return (
        call.tensor(0).clamp(_finite(lo), _finite(hi))
        if _finite(lo) is not None or _finite(hi) is not None
        else call.tensor(0)
    )


def _finite(bound: float | None) -> float | None:
    """A bound; None where it is none, or as good as none."""
    return None if bound is None or abs(bound) > 3.4e38 or math.isinf(bound) else bound


def prelu(call: Call) -> Tensor:
    x, slope = call.tensor(0), call.tensor(1)
    if slope.numel() not in (1, int(x.shape[1])):
        raise Unread(f"slopes of {list(slope.shape)}; expected one, or one a channel")
    return F.prelu(x, slope.reshape(-1))


def hard_sigmoid(call: Call) -> Tensor:
    x, gain, shift = call.tensor(0), call.attr("alpha", 0.2), call.attr("beta", 0.5)
    if abs(gain - 1 / 6) < 1e-6 and shift == 0.5:
        return F.hardsigmoid(x)
    found: Tensor = (x * gain + shift).clamp(0, 1)
    return found


def gelu(call: Call) -> Tensor:
    found: Tensor = F.gelu(call.tensor(0), approximate=call.attr("approximate", "none"))
    return found


def elu(call: Call) -> Tensor:
    return F.elu(call.tensor(0), call.attr("alpha", 1.0))


def celu(call: Call) -> Tensor:
    return F.celu(call.tensor(0), call.attr("alpha", 1.0))


def selu(call: Call) -> Tensor:
    """gamma * x, below 0 gamma * alpha * (exp(x) - 1); the defaults are SELU's own numbers, rounded."""
    x, alpha, gamma = call.tensor(0), call.attr("alpha", SELU_ALPHA), call.attr("gamma", SELU_SCALE)
    if abs(alpha - SELU_ALPHA) < 1e-6 and abs(gamma - SELU_SCALE) < 1e-6:
        return F.selu(x)
    found: Tensor = torch.ops.aten.elu(x, alpha, gamma)
    return found


def leaky_relu(call: Call) -> Tensor:
    return F.leaky_relu(call.tensor(0), call.attr("alpha", 0.01))


def thresholded_relu(call: Call) -> Tensor:
    return F.threshold(call.tensor(0), call.attr("alpha", 1.0), 0.0)


def swish(call: Call) -> Tensor:
    x, alpha = call.tensor(0), call.attr("alpha", 1.0)
    return F.silu(x) if alpha == 1 else x * torch.sigmoid(x * alpha)


def where(call: Call) -> Tensor:
    return torch.where(call.tensor(0), call.number(1), call.number(2))


def cast(call: Call) -> Operand:
    """Between floating-point types: everything is float32 here. An integer input is floating-point already."""
    x, to = call.tensor(0), onnx.TensorProto.DataType.Name(call.attr("to"))
    if to not in ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE"):
        raise Unread(f"a conversion to {to} of what is computed from the image")
    return x if x.is_floating_point() else x.float()


def same(call: Call) -> Tensor:
    return call.tensor(0)


def dropout(call: Call) -> Tensor:
    """Its input, unless it is switched on for good."""
    training = call.optional(2)
    if training is not None and bool(training.any()):
        raise Unread("a dropout that is always on (training_mode is true); export the model in eval mode")
    return call.tensor(0)


FUNCTIONS: dict[str, Function] = {
    **{name: of_one(getattr(torch, name.lower())) for name in ("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Log")},
    **{name: of_one(getattr(torch, name.lower())) for name in ("Neg", "Reciprocal", "Round", "Sigmoid", "Sign")},
    **{name: of_one(getattr(torch, name.lower())) for name in ("Sin", "Sqrt", "Tan", "Tanh", "Atan", "Relu")},
    **{
        name: of_one(getattr(torch, name.lower()))
        for name in ("Acos", "Acosh", "Asin", "Asinh", "Atanh", "Cosh", "Sinh")
    },
    **{name: of_one(getattr(F, name.lower())) for name in ("Softplus", "Softsign", "Mish", "HardSwish")},
    "HardSwish": of_one(F.hardswish),
    "Add": of_two(operator.add),
    "Sub": of_two(operator.sub),
    "Mul": of_two(operator.mul),
    "Div": of_two(operator.truediv),
    "Sum": of_many(operator.add),
    "Greater": of_two(operator.gt),
    "GreaterOrEqual": of_two(operator.ge),
    "Less": of_two(operator.lt),
    "LessOrEqual": of_two(operator.le),
    "Equal": of_two(operator.eq),
    "Not": of_one(torch.logical_not),
    "And": of_two(torch.logical_and),
    "Or": of_two(torch.logical_or),
    "Min": bound("Min"),
    "Max": bound("Max"),
    "Pow": power,
    "Clip": clip,
    "PRelu": prelu,
    "HardSigmoid": hard_sigmoid,
    "Gelu": gelu,
    "Elu": elu,
    "Celu": celu,
    "Selu": selu,
    "LeakyRelu": leaky_relu,
    "ThresholdedRelu": thresholded_relu,
    "Swish": swish,
    "Where": where,
    "Cast": cast,
    "CastLike": same,
    "Identity": same,
}
