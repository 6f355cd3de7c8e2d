"""One node of a prepared model, with its parameters and the quantizer of its weight."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bitwright.graph import Node
from bitwright.nn.float_ops import FLOAT_FUNCTIONS
from bitwright.nn.quantizers import WeightQuantizer
from bitwright.ops.conv2d import image_scale
from bitwright.qtensor import QType

PARAMETERS = ("weight", "bias", "bn_weight", "bn_bias")


class Layer(nn.Module):
    """Runs a float node; `quantizer` is there where the node has a weight."""

    def __init__(self, node: Node, weights: str | None, image: QType | None) -> None:
        super().__init__()
        self.node = Node(node.name, node.op, node.inputs, node.attrs, {}, node.origin)
        self.names = tuple(node.tensors)
        for name, array in node.tensors.items():
            tensor = torch.from_numpy(np.array(array))
            if name in PARAMETERS:
                self.register_parameter(name, nn.Parameter(tensor))
            else:
                self.register_buffer(name, tensor)
        self.quantizer = None
        if weights is not None:
            weight = node.tensors["weight"]
            scale = (
                np.ones((1,) * weight.ndim) if image is None else image_scale(image, len(weight), node.attrs["groups"])
            )
            self.quantizer = WeightQuantizer(weights, torch.from_numpy(scale), len(weight))

    def tensors(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in self.names}

    def forward(self, xs: list[Tensor], *, quantized: bool, clamped: bool = True) -> Tensor:
        """The float function of inputs [N, ...], with the weight rounded if `quantized`, without the clamp if not `clamped`."""
        tensors, attrs = self.tensors(), self.node.attrs
        if quantized and self.quantizer is not None:
            tensors["weight"] = self.quantizer(tensors["weight"])
        if not clamped:
            attrs = {key: value for key, value in attrs.items() if key != "clamp"}
        return FLOAT_FUNCTIONS[self.node.op](attrs, tensors, quantized and self.training, xs)

    def shift(self, delta: Tensor) -> None:
        """Add to each channel of a convolution's or linear layer's result: delta [O]."""
        name = "bn_bias" if "bn_bias" in self.names else "bias"
        if name not in self.names:
            self.register_parameter(
                name, nn.Parameter(torch.zeros_like(self.tensors()["weight"][:, 0].flatten(1)[:, 0]))
            )
            self.names = (*self.names, name)
        with torch.no_grad():
            self.tensors()[name].add_(delta)

    def float_node(self) -> Node:
        """The node with the tensors of this moment, and the scales that its weight will be rounded with."""
        tensors: dict[str, Any] = {name: tensor.detach().cpu().numpy() for name, tensor in self.tensors().items()}
        node = self.node
        if self.quantizer is not None:
            node = node.with_attrs(weights=self.quantizer.scheme)
            tensors["weight_scale"] = self.quantizer.scale.detach().cpu().double().numpy()
        return Node(node.name, node.op, node.inputs, node.attrs, tensors, node.origin)
