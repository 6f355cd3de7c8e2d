"""`PreparedModel`: same call signature as the original, normalised float32 NCHW in, logits out.

It rounds its input to pixels, and makes bits of them where the preprocessing has an encoder. In train mode it is
differentiable fake quantization; in eval mode it computes the integers.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from bitwright.algorithms.ranges import Function, Range, identity
from bitwright.errors import CalibrationError, EngineError, GraphError
from bitwright.graph import INPUT, Graph, Node
from bitwright.images.preprocess import Preprocess
from bitwright.ops import float_op
from bitwright.ops.unary import Unary
from bitwright.ops.weights import groups_needed
from bitwright.prepared.carried import carry
from bitwright.prepared.edges import Ends, ends, place
from bitwright.prepared.histogram import Histogram
from bitwright.prepared.image import code_affine, encode, image_type, read_bits
from bitwright.prepared.integers import Integers, without_autocast
from bitwright.prepared.layer import Layer
from bitwright.prepared.quantizers import Edge, WeightQuantizer
from bitwright.prepared.walk import steps, walk
from bitwright.recipe import Recipe
from bitwright.registry import Foreign


class PreparedModel(nn.Module):
    """A fused float graph with quantizers on its edges and weights.

    `layers` has a `Layer` for each node, `edges` an `Edge` for each type; their keys are module paths with `/` for `.`.
    `ruled_by` has, for each edge, the layer whose rule in the recipe says what is written to it, `notes` what capture changed,
    `foreign` which algorithms and the like that are not ours had a part in it.
    """

    image_scale: Tensor
    image_offset: Tensor
    code_scale: Tensor
    code_offset: Tensor

    def __init__(self, graph: Graph, preprocess: Preprocess, recipe: Recipe, notes: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.notes = notes
        self.foreign: set[Foreign] = set()
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
            op = float_op(node)
            weights = recipe.schemes(node.name, **sides.of(node.name))[0] if op.weighted else None
            image = self.image if INPUT in node.inputs and op.folds_image else None
            groups = self._groups(node, weights, sides) if op.groups_inputs and weights is not None else 1
            self.layers[_key(node.name)] = Layer(node, weights, image, groups, self.graph.values[node.name].axis)
        for name in dict.fromkeys(self.owner.values()):
            self.edges[_key(name)] = Edge(name, edges.schemes[name])
        self.ruled_by = dict(edges.ruled_by)
        self._settled: Integers | None = None

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
        with without_autocast(x):
            pixels = ((x.float() - self.image_offset) / self.image_scale).round().clamp(0, 255)
        if self.training:
            self._expect_calibrated()
            return self._float(self._real(pixels), self._fake_quantize)
        return self.run_integers(pixels)

    def train(self, mode: bool = True) -> "PreparedModel":
        """Set the mode; on the way to eval mode the integers are settled."""
        super().train(mode)
        if not mode:
            self.settle()
        return self

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
        self._settled = None
        for module in self.modules():
            if isinstance(module, Edge | WeightQuantizer):
                module.progress = share

    def steps(self) -> Iterator[tuple[Node, list[str]]]:
        """Every node of the float graph in order, each with the values that nothing reads after it."""
        return steps(self.graph)

    def observe(
        self,
        images: Tensor,
        *,
        edges: Collection[str] | None = None,
        see: Callable[[str, Tensor], None] = lambda name, value: None,
    ) -> Tensor:
        """Run the float model on uint8 images [N, H, W, C] and add to every edge's histogram; returns the float logits.

        With `edges`, only to those of these names. `see` is called with every value and its name.
        """

        def at_edge(name: str, value: Tensor) -> Tensor:
            see(name, value)
            edge = self.edge(name)
            wanted = edge is not None and (edges is None or edge.name in edges)
            if edge is not None and wanted and not float_op(self.graph[name]).passes_type:
                edge.observe(value)
            return value

        with torch.no_grad():
            return self._float(self.real_input(images).contiguous(memory_format=torch.channels_last), at_edge)

    def forget(self) -> None:
        """Empty every histogram and undo every correction: what calibration starts from."""
        for edge in self.edges.values():
            assert isinstance(edge, Edge)
            edge.histogram = Histogram()
        for layer in self.layers.values():
            assert isinstance(layer, Layer)
            layer.forget()

    def choose_ranges(
        self, algorithm: Range, *, edges: Collection[str] | None = None, layers: Collection[str] | None = None
    ) -> None:
        """Set every scale from the histograms and the weights; or only those of these edges and these layers."""
        for edge in self.edges.values():
            assert isinstance(edge, Edge)
            if edges is None or edge.name in edges:
                edge.choose_range(algorithm, self.read_through(edge.name))
        for layer in self.layers.values():
            assert isinstance(layer, Layer)
            if layer.quantizer is not None and (layers is None or layer.node.name in layers):
                layer.quantizer.choose_range(algorithm, layer.tensors()["weight"])

    def read_through(self, name: str) -> Function:
        """The function through which alone a value is read, where it is one of one number; else the identity."""
        readers = self.graph.consumers()[name]
        shared = sum(owner == name for owner in self.owner.values()) > 1
        op = float_op(readers[0]) if len(readers) == 1 and not shared else None
        if not isinstance(op, Unary) or op.per_channel:
            return identity
        return partial(op.function, node=readers[0])

    def _fake_quantize(self, name: str, value: Tensor) -> Tensor:
        edge = self.edge(name)
        return value if edge is None else edge(value)

    def _float(self, real: Tensor, at_edge: Callable[[str, Tensor], Tensor]) -> Tensor:
        quantized = at_edge == self._fake_quantize

        def run(name: str, xs: list[Tensor]) -> Tensor:
            return at_edge(name, self.layer(name)(xs, quantized=quantized))

        return walk(self.graph, {INPUT: real}, run)

    def run_integers(self, pixels: Tensor, trace: Callable[[str, Tensor], None] | None = None) -> Tensor:
        """Logits of pixel codes [N, C, H, W] (whole numbers in float32), computed in integers; `trace` sees every value."""
        return self._integers()(pixels, trace)

    def lower(self) -> Graph:
        """The integer graph of this moment. CalibrationError before calibration."""
        self._expect_calibrated()
        if self._settled is not None and self._settled.follow(self._state()):
            return self._settled.graph
        types = {name: edge.qtype for name in self.owner if (edge := self.edge(name)) is not None}
        types[INPUT] = self.image
        values = {name: replace(value, type=types.get(name)) for name, value in self.graph.values.items()}
        nodes = []
        for node in self.graph.nodes:
            inputs = [values[name] for name in node.inputs]
            nodes.append(float_op(node).lower(self.layer(node.name).float_node(), inputs, values[node.name]))
        return carry(replace(self.graph, nodes=tuple(nodes), values=values))

    def settle(self) -> None:
        """Lower the model as it is now, unless that was done already; nothing where it cannot be, or has no ranges yet.

        `eval()` and `calibrate` do it. What is traced afterwards, by torch.export or torch.compile, are these integers.
        """
        with suppress(CalibrationError, GraphError):
            self._integers()

    def _integers(self) -> Integers:
        """The integers of this moment; while torch traces, those that were settled last: it sees no numbers then."""
        if torch.compiler.is_compiling():
            if self._settled is None:
                raise CalibrationError(
                    "expected a calibrated model in eval mode; call prepared.eval() before tracing it"
                )
            return self._settled
        state = self._state()
        if self._settled is None or not self._settled.follow(state):
            self._settled = None
            self._settled = Integers(self.lower(), self.preprocess, self.image_scale.device, state)
        return self._settled

    def _state(self) -> list[Tensor]:
        return [*self.parameters(), *self.buffers()]

    def _expect_calibrated(self) -> None:
        for name, scale in [*self.named_buffers(), *self.named_parameters()]:
            if name.endswith(".scale") and not torch.isfinite(scale).all():
                raise CalibrationError("the model has no ranges yet; call bitwright.calibrate(prepared, images) first")


def _key(name: str) -> str:
    """A node's name as a key of a ModuleDict, which knows neither dots nor names like `values`."""
    return "/" + name.replace(".", "/")
