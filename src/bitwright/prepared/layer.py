"""One node of a prepared model, with its parameters and the quantizer of its weight."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bitwright.graph import Node
from bitwright.ops import float_op
from bitwright.ops.conv2d import image_scale
from bitwright.prepared.ops import float_function, rounds
from bitwright.prepared.ops.epilogue import clamp
from bitwright.prepared.ops.op import FloatCall, along
from bitwright.prepared.quantizers import ActivationQuantizer, WeightQuantizer
from bitwright.qtensor import QType


class Layer(nn.Module):
    """Runs a float node. One with a weight has a `quantizer`; a `correction` [O], added to the quantized result; and a
    `rounding`, added to the weight before it is rounded (a single zero where nothing is). It and a batch norm have
    `equalized` [O], what their channels were multiplied by.
    `axis` is the channel axis of its result [N, ...].
    `momentum` is how much of a batch's statistics a batch norm learns in train mode; None freezes them.
    """

    correction: Tensor
    rounding: Tensor
    equalized: Tensor

    def __init__(self, node: Node, weights: str | None, image: QType | None, groups: int = 1, axis: int = 1) -> None:
        super().__init__()
        self.axis = axis
        self.node = Node(node.name, node.op, node.inputs, node.attrs, {}, node.origin)
        self.names = tuple(node.tensors)
        self.momentum: float | None = 0.1
        for name, array in node.tensors.items():
            tensor = torch.from_numpy(np.array(array))
            fixed = name.startswith("bn_") or name == "value"
            constant = fixed and node.attrs.get("constant") and name not in node.attrs.get("learns", ())
            if name in float_op(node).parameters and not constant:
                self.register_parameter(name, nn.Parameter(tensor))
            else:
                self.register_buffer(name, tensor)
        self.quantizer = None
        if weights is not None:
            weight = node.tensors["weight"]
            scale = (
                np.ones((1,) * weight.ndim) if image is None else image_scale(image, len(weight), node.attrs["groups"])
            )
            self.quantizer = WeightQuantizer(weights, torch.from_numpy(scale), len(weight), groups)
            self.register_buffer("correction", torch.zeros(len(weight)))
            self.register_buffer("rounding", torch.zeros(()))
        channels = node.tensors.get("weight", node.tensors.get("bn_weight", node.tensors.get("writes")))
        if channels is not None and (float_op(node).smoothable or "writes" in node.tensors):
            self.register_buffer("equalized", torch.ones(len(channels)))
        elif "value" in node.tensors:
            self.register_buffer("equalized", torch.ones(node.tensors["value"].shape[axis - 1]))

    @property
    def has_batch_norm(self) -> bool:
        """Whether it ends in a batch norm: it is one, or one was fused into it."""
        return "bn_mean" in self.names

    @property
    def gain_and_shift(self) -> tuple[str, str]:
        """Its tensors that multiply its result and are added to it, by name; not each layer has both."""
        if "writes" in self.names:
            return "writes", ""
        return ("bn_weight", "bn_bias") if "bn_weight" in self.names else ("weight", "bias")

    @property
    def scales_channels(self) -> bool:
        """Whether it multiplies channels that it reads, or writes, by factors of their own."""
        return any(
            bool((getattr(self, name) != 1).any()) for name in ("factors", "reads", "writes") if name in self.names
        )

    def tensors(self) -> dict[str, Tensor]:
        """The float node's tensors."""
        return {name: getattr(self, name) for name in self.names}

    def corrected(self) -> dict[str, Tensor]:
        """The float node's tensors as the quantized layer has them: the weight about to be rounded, the result shifted."""
        tensors = self.tensors()
        if self.quantizer is not None:
            if self.rounding.dim():
                tensors["weight"] = tensors["weight"] + self.rounding
            _, name = self.gain_and_shift
            tensors[name] = tensors[name] + self.correction if name in tensors else self.correction
        return tensors

    @torch.no_grad()
    def codes(self) -> Tensor:
        """The numbers that the weight is rounded to, [O, ...]."""
        assert self.quantizer is not None
        weight = self.corrected()["weight"]
        rounded: Tensor = self.quantizer(weight)
        return (rounded / self.quantizer.step(weight)).round()

    @torch.no_grad()
    def set_codes(self, codes: Tensor) -> None:
        """Round the weight to these codes [O, ...] from now on, whichever are nearest."""
        assert self.quantizer is not None
        weight = self.tensors()["weight"]
        self.rounding = codes * self.quantizer.step(weight) - weight

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        found = state_dict.get(f"{prefix}rounding")
        if self.quantizer is not None and found is not None:
            self.rounding = torch.zeros_like(found, device=self.correction.device)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def forget(self) -> None:
        """Undo correction and rounding."""
        if self.quantizer is not None:
            self.correction.zero_()
            self.rounding = torch.zeros_like(self.correction[0])

    def forward(
        self,
        xs: list[Tensor],
        *,
        quantized: bool,
        clamped: bool = True,
        quantizer: ActivationQuantizer | None = None,
    ) -> Tensor:
        """The float function of inputs [N, ...]: `quantized` with the weight rounded and corrected, else as it was.

        An op that `rounds` has its result rounded by the `quantizer`.
        """
        tensors, attrs = self.corrected() if quantized else self.tensors(), self.node.attrs
        if quantized and self.quantizer is not None:
            tensors["weight"] = self.quantizer(tensors["weight"])
        if not clamped:
            attrs = {key: value for key, value in attrs.items() if key != "clamp"}
        if self.momentum is not None:
            attrs = {**attrs, "momentum": self.momentum}
        batch_statistics = quantized and self.training and self.momentum is not None
        return self.function(tensors, xs, attrs=attrs, training=batch_statistics, quantizer=quantizer)

    def fake_quantized(self, xs: list[Tensor], quantizer: ActivationQuantizer | None) -> Tensor:
        """`forward` with all that is quantized, its result too; what hooks see is not rounded."""
        if quantizer is None or self._forward_hooks or not rounds(self.node.op):
            value: Tensor = self(xs, quantized=True)
            return value if quantizer is None else quantizer.forward(value)
        rounded: Tensor = self(xs, quantized=True, quantizer=quantizer)
        return rounded

    def function(
        self,
        tensors: Mapping[str, Tensor],
        xs: list[Tensor],
        *,
        attrs: Mapping[str, Any] | None = None,
        training: bool = False,
        quantizer: ActivationQuantizer | None = None,
    ) -> Tensor:
        """The float function of the op, with any tensors; `training` if batch norms are to use the batch's statistics."""
        op = self.node.op
        call = FloatCall(op, self.node.attrs if attrs is None else attrs, tensors, xs, self.axis, training, quantizer)
        return float_function(op)(call)

    def shifted(self, y: Tensor, shift: Tensor) -> Tensor:
        """y [N, ...], a result of this layer, with a number for each channel [C] added."""
        return y + along(shift, self.axis, y.dim())

    def clamp(self, y: Tensor) -> Tensor:
        """Clip y as `forward` does at its end, unless `clamped` is False."""
        return clamp(y, self.node.attrs)

    def float_node(self) -> Node:
        """The node with the tensors of this moment, and the scales that its weight will be rounded with."""
        tensors: dict[str, Any] = {name: tensor.detach().cpu().numpy() for name, tensor in self.corrected().items()}
        node = self.node
        if self.quantizer is not None:
            node = node.with_attrs(weights=self.quantizer.scheme)
            weight, scale = self.quantizer.effective(self.corrected()["weight"])
            tensors["weight"] = weight.detach().cpu().numpy()
            tensors["weight_scale"] = scale.detach().cpu().double().numpy()
        return Node(node.name, node.op, node.inputs, node.attrs, tensors, node.origin)
