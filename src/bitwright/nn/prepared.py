"""`PreparedModel`: same call signature as the original, normalised float32 NCHW in, logits out.

It rounds its input to pixels, and makes bits of them where the preprocessing has an encoder. In train mode it is
differentiable fake quantization; in eval mode it computes the integers.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from bitwright.algorithms.ranges import Function, Range, identity
from bitwright.errors import CalibrationError, EngineError
from bitwright.graph import INPUT, Graph, Node
from bitwright.nn.edges import WITH_WEIGHT, Ends, ends, place
from bitwright.nn.histogram import Histogram
from bitwright.nn.image import code_affine, encode, image_type, read_bits
from bitwright.nn.integer_ops import INTEGER_FUNCTIONS, Call
from bitwright.nn.layer import Layer
from bitwright.nn.quantizers import Edge, WeightQuantizer
from bitwright.ops import FLOAT_OPS
from bitwright.ops.unary import Unary
from bitwright.ops.weights import groups_needed
from bitwright.preprocess import Preprocess
from bitwright.recipe import Recipe


class PreparedModel(nn.Module):
    """A fused float graph with quantizers on its edges and weights.

    `layers` has a `Layer` for each node, `edges` an `Edge` for each type; their keys are module paths with `/` for `.`.
    `ruled_by` has, for each edge, the layer whose rule in the recipe says what is written to it, `notes` what capture changed.
    """

    image_scale: Tensor
    image_offset: Tensor
    code_scale: Tensor
    code_offset: Tensor

    def __init__(self, graph: Graph, preprocess: Preprocess, recipe: Recipe, notes: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.notes = notes
        edges = place(read_bits(graph, preprocess), recipe)
        self.graph, self.owner = edges.graph, dict(edges.owner)
        self.preprocess, self.recipe = preprocess, recipe
        scale, offset = preprocess.affine()
        self.image = image_type(preprocess)
        code_scale, code_offset = code_affine(preprocess)
        for name, values in {
            "image_scale": scale,
            "image_offset": offset,
            "code_scale": code_scale,
            "code_offset": code_offset,
        }.items():
            self.register_buffer(name, torch.from_numpy(values).float().reshape(1, -1, 1, 1))
        recipe.check_matches(node.name for node in self.graph.nodes)
        sides = ends(self.graph)
        self.layers = nn.ModuleDict()
        self.edges = nn.ModuleDict()
        for node in self.graph.nodes:
            weights = recipe.schemes(node.name, **sides.of(node.name))[0] if node.op in WITH_WEIGHT else None
            image = self.image if INPUT in node.inputs and node.op == "conv2d" else None
            groups = self._groups(node, weights, sides) if node.op == "linear" and weights is not None else 1
            self.layers[_key(node.name)] = Layer(node, weights, image, groups, self.graph.values[node.name].axis)
        for name in dict.fromkeys(self.owner.values()):
            self.edges[_key(name)] = Edge(name, edges.schemes[name])
        self.ruled_by = dict(edges.ruled_by)
        self._lowered: tuple[int, Graph, dict[str, dict[str, Tensor]]] | None = None

    def _groups(self, node: Node, weights: str, sides: Ends) -> int:
        """Groups of a linear layer's inputs: the recipe's, or as many as its accumulators need."""
        inputs = node.tensors["weight"].shape[1]
        return max(self.recipe.groups(node.name, inputs, **sides.of(node.name)), groups_needed(inputs, weights))

    def layer(self, name: str) -> Layer:
        """The layer of the node called `name`."""
        found = self.layers[_key(name)]
        assert isinstance(found, Layer)
        return found

    def edge(self, value: str) -> Edge | None:
        """The edge that a value's codes belong to; None where the value is float32."""
        if value not in self.owner:
            return None
        found = self.edges[_key(self.owner[value])]
        assert isinstance(found, Edge)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of normalised images [N, C, H, W], both float32.

        Raises CalibrationError before calibration, EngineError for images of another size than the model was captured with.
        """
        height, width, channels = self.preprocess.shape
        if x.dim() != 4 or tuple(x.shape[1:]) != (channels, height, width):
            raise EngineError(f"expected images of [N, {channels}, {height}, {width}], found {list(x.shape)}")
        pixels = ((x - self.image_offset) / self.image_scale).round().clamp(0, 255)
        if self.training:
            self._expect_calibrated()
            return self._float(self._real(pixels), self._fake_quantize)
        return self.run_integers(pixels)

    def real_input(self, images: Tensor) -> Tensor:
        """What uint8 images [N, H, W, C] mean: the float graph's input, float32 [N, C, H, W], or bits [N, planes, H, W]."""
        return self._real(images.permute(0, 3, 1, 2).float().contiguous())

    def normalised(self, images: Tensor) -> Tensor:
        """What this module takes for uint8 images [N, H, W, C]: the float model's input, float32 [N, C, H, W]."""
        return images.permute(0, 3, 1, 2).float().contiguous() * self.image_scale + self.image_offset

    def _real(self, pixels: Tensor) -> Tensor:
        return encode(pixels, self.preprocess) * self.code_scale + self.code_offset

    def float_logits(self, x: Tensor) -> Tensor:
        """What the float model says of normalised images [N, C, H, W]; of a model without an encoder."""
        return self._float(x, lambda name, value: value)

    def set_progress(self, share: float) -> None:
        """Tell the quantizers how much of the training is done, 0 to 1: some training algorithms follow a schedule."""
        self._lowered = None
        for module in self.modules():
            if isinstance(module, Edge | WeightQuantizer):
                module.progress = share

    def steps(self) -> Iterator[tuple[Node, list[str]]]:
        """Every node of the float graph in order, each with the values that nothing reads after it."""
        return _steps(self.graph)

    def observe(self, images: Tensor) -> Tensor:
        """Run the float model on uint8 images [N, H, W, C] and add to every edge's histogram; returns the float logits."""
        with torch.no_grad():
            return self._float(self.real_input(images).contiguous(memory_format=torch.channels_last), self._observe)

    def forget(self) -> None:
        """Empty every histogram and undo every correction: what calibration starts from."""
        for edge in self.edges.values():
            assert isinstance(edge, Edge)
            edge.histogram = Histogram()
        for layer in self.layers.values():
            assert isinstance(layer, Layer)
            layer.forget()

    def choose_ranges(self, algorithm: Range) -> None:
        """Set every scale from the histograms and the weights."""
        for edge in self.edges.values():
            assert isinstance(edge, Edge)
            edge.choose_range(algorithm, self.read_through(edge.name))
        for layer in self.layers.values():
            assert isinstance(layer, Layer)
            if layer.quantizer is not None:
                layer.quantizer.choose_range(algorithm, layer.tensors()["weight"])

    def read_through(self, name: str) -> Function:
        """The function through which alone a value is read, where it is one of one number; else the identity."""
        readers = self.graph.consumers()[name]
        shared = sum(owner == name for owner in self.owner.values()) > 1
        op = FLOAT_OPS[readers[0].op] if len(readers) == 1 and not shared else None
        if not isinstance(op, Unary) or op.per_channel:
            return identity
        return partial(op.function, node=readers[0])

    def _fake_quantize(self, name: str, value: Tensor) -> Tensor:
        edge = self.edge(name)
        return value if edge is None else edge(value)

    def _observe(self, name: str, value: Tensor) -> Tensor:
        edge = self.edge(name)
        if edge is not None and not FLOAT_OPS[self.graph[name].op].passes_type:
            edge.observe(value)
        return value

    def _float(self, real: Tensor, at_edge: Callable[[str, Tensor], Tensor]) -> Tensor:
        quantized = at_edge == self._fake_quantize

        def run(name: str, xs: list[Tensor]) -> Tensor:
            return at_edge(name, self.layer(name)(xs, quantized=quantized))

        return _walk(self.graph, {INPUT: real}, run)

    def run_integers(self, pixels: Tensor, trace: Callable[[str, Tensor], None] | None = None) -> Tensor:
        """Logits of pixel codes [N, C, H, W] (whole numbers in float32), computed in integers; `trace` sees every value."""
        graph, tensors = self._integer_graph()

        def run(name: str, xs: list[Tensor]) -> Tensor:
            node = nodes[name]
            call = Call(node, tensors[name], graph.inputs_of(node), graph.values[name], xs)
            result = INTEGER_FUNCTIONS[node.op](call)
            if trace is not None:
                trace(name, result.expand(len(pixels), *result.shape[1:]))  # a constant is there once for all images
            return result

        nodes = {node.name: node for node in graph.nodes}
        with torch.no_grad():
            return _walk(graph, {INPUT: encode(pixels.float(), self.preprocess)}, run)

    def lower(self) -> Graph:
        """The integer graph of this moment. CalibrationError before calibration."""
        self._expect_calibrated()
        types = {name: edge.qtype for name in self.owner if (edge := self.edge(name)) is not None}
        types[INPUT] = self.image
        values = {name: replace(value, type=types.get(name)) for name, value in self.graph.values.items()}
        nodes = []
        for node in self.graph.nodes:
            inputs = [values[name] for name in node.inputs]
            nodes.append(FLOAT_OPS[node.op].lower(self.layer(node.name).float_node(), inputs, values[node.name]))
        return Graph(tuple(nodes), values, self.graph.output)

    def _integer_graph(self) -> tuple[Graph, Mapping[str, dict[str, Tensor]]]:
        """The integer graph and its tensors on this module's device; made anew when a parameter or buffer has changed.

        Not every change counts up a tensor's version (batch statistics, `.data`), so the sums are compared as well.
        """
        state = [*self.parameters(), *self.buffers()]
        version = hash(tuple((id(t), t._version, t.device, float(t.detach().double().sum())) for t in state))
        if self._lowered is None or self._lowered[0] != version:
            graph, device = self.lower(), self.image_scale.device
            tensors = {
                node.name: {k: torch.from_numpy(np.array(v, np.float32)).to(device) for k, v in node.tensors.items()}
                for node in graph.nodes
            }
            self._lowered = (version, graph, tensors)
        return self._lowered[1], self._lowered[2]

    def _expect_calibrated(self) -> None:
        for name, scale in [*self.named_buffers(), *self.named_parameters()]:
            if name.endswith(".scale") and not torch.isfinite(scale).all():
                raise CalibrationError("the model has no ranges yet; call bitwright.calibrate(prepared, images) first")


def _walk(graph: Graph, values: dict[str, Tensor], run: Callable[[str, list[Tensor]], Tensor]) -> Tensor:
    """Compute every node in order, dropping values after their last use; returns the output."""
    for node, done in _steps(graph):
        values[node.name] = run(node.name, [values[name] for name in node.inputs])
        for name in done:
            del values[name]
    return values[graph.output]


def _steps(graph: Graph) -> Iterator[tuple[Node, list[str]]]:
    last_use = {name: node.name for node in graph.nodes for name in node.inputs}
    for node in graph.nodes:
        yield node, [name for name in dict.fromkeys(node.inputs) if last_use[name] == node.name]


def _key(name: str) -> str:
    """A node's name as a key of a ModuleDict, which knows neither dots nor names like `values`."""
    return "/" + name.replace(".", "/")
