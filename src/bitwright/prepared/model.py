"""`PreparedModel`: same call signature as the original, normalised float32 NCHW in, logits out.

It rounds its input to pixels, and makes bits of them where the preprocessing has an encoder. In train mode it is
differentiable fake quantization; in eval mode it computes the integers.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from bitwright.errors import CalibrationError, EngineError, GraphError
from bitwright.given import GivenTypes
from bitwright.graph import Graph, Node
from bitwright.images.preprocess import Preprocess
from bitwright.ops import float_op
from bitwright.ops.weights import groups_needed
from bitwright.prepared.calibrator import Calibrator
from bitwright.prepared.image import code_affine, encode, image_type, read_bits
from bitwright.prepared.integers import Integers, without_autocast
from bitwright.prepared.layer import Layer
from bitwright.prepared.lowering import lower
from bitwright.prepared.quantizers import ActivationQuantizer, WeightQuantizer
from bitwright.prepared.revision import Revision
from bitwright.prepared.value_types import FirstAndLast, assign_types, first_and_last
from bitwright.recipe import Recipe
from bitwright.registry import Foreign
from bitwright.walk import Step, compute, steps


class PreparedModel(nn.Module):
    """A fused float graph with quantizers on its values and weights.

    `layers` has a `Layer` for each node, `quantizers` an `ActivationQuantizer` for each type; their keys are module paths with
    `/` for `.`. `ruled_by` has, for each quantizer, the layer whose rule in the recipe gives it its scheme; `notes` say what
    capture changed, `foreign` which algorithms and the like from other distributions had a part in it.
    """

    image_scale: Tensor
    image_offset: Tensor
    code_scale: Tensor
    code_offset: Tensor

    def __init__(
        self,
        graph: Graph,
        preprocess: Preprocess,
        recipe: Recipe,
        notes: tuple[str, ...] = (),
        given: GivenTypes = GivenTypes(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        self.notes, self.given = notes, given
        self.foreign: set[Foreign] = set()
        typed = assign_types(read_bits(graph, preprocess), recipe, given.types)
        self.graph, self.owner = typed.graph, dict(typed.owner)
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
        sides = first_and_last(self.graph)
        linear = [node.name for node in self.graph.nodes if float_op(node).groups_inputs]
        recipe.check_groups({name: sides.of(name) for name in linear})
        self.layers = nn.ModuleDict()
        self.quantizers = nn.ModuleDict()
        for node in self.graph.nodes:
            op = float_op(node)
            weights = self._weights(node, sides) if op.weighted else None
            image = self.image if self.graph.input in node.inputs and op.folds_image else None
            groups = self._groups(node, weights, sides) if op.groups_inputs and weights is not None else 1
            value = self.graph.values[node.name]
            ones = {name: np.ones(shape, np.float32) for name, shape in op.factors(node, value).items()}
            whole = replace(node, tensors={**node.tensors, **ones})
            self.layers[key_of(node.name)] = Layer(whole, weights, image, groups, value.axis)
        for name in dict.fromkeys(self.owner.values()):
            self.quantizers[key_of(name)] = ActivationQuantizer(name, typed.schemes[name])
        if given:
            self._keep_given()
        self.ruled_by = dict(typed.ruled_by)
        self.parts: dict[str, str] = {}
        """Values that are written in two parts, by the name of the part that holds their large channels (`prepared.parts`)."""
        self._settled: Integers | None = None
        self._revision: Revision | None = None
        """What the settled integers were made of."""

    def _weights(self, node: Node, sides: FirstAndLast) -> str:
        """The scheme of a layer's weights: the file's, where that gives it, else the recipe's."""
        given = self.given.weights.get(node.name)
        return self.recipe.schemes(node.name, **sides.of(node.name))[0] if given is None else given.scheme

    def _keep_given(self) -> None:
        """Have the scales that a quantized file gives, and say in the notes how many these are."""
        for name, type_ in self.given.types.items():
            if (quantizer := self.quantizer(name)) is not None:
                quantizer.keep(type_)
        anew = []
        for name, weight in self.given.weights.items():
            found = self.layer(name).quantizer
            if found is None or found.scale.dim() != 1 or not found.keep(weight.scale):
                anew.append(weight.name)
        weighted = sum(float_op(node).weighted for node in self.graph.nodes)
        values = len(self.quantizers) - len(self.unsettled)
        kept = f"{values} of {len(self.quantizers)} types of values and the scales of {len(self.given.weights) - len(anew)}"
        self.notes += (f"the file is quantized: {kept} of {weighted} layers' weights are its own",)
        if anew:
            self.notes += (f"not as in the file: weights that read the image get other scales: {', '.join(anew)}",)

    @property
    def unsettled(self) -> tuple[str, ...]:
        """The types of values that no quantized file gives, by the names of their owners."""
        found = [quantizer for quantizer in self.quantizers.values() if isinstance(quantizer, ActivationQuantizer)]
        return tuple(quantizer.name for quantizer in found if not quantizer.is_given)

    def _groups(self, node: Node, weights: str, sides: FirstAndLast) -> int:
        """Groups of a linear layer's inputs: the recipe's, or as many as its accumulators need."""
        inputs = node.tensors["weight"].shape[1]
        return max(self.recipe.groups(node.name, inputs, **sides.of(node.name)), groups_needed(inputs, weights))

    @property
    def calibrator(self) -> Calibrator:
        """What chooses ranges: histograms of what the float model computes."""
        return Calibrator(self)

    def layer(self, name: str) -> Layer:
        """The layer of the node called `name`."""
        found = self.layers[key_of(name)]
        assert isinstance(found, Layer)
        return found

    def quantizer(self, value: str) -> ActivationQuantizer | None:
        """The quantizer that a value's codes belong to; None where the value is float32."""
        if value not in self.owner:
            return None
        found = self.quantizers[key_of(self.owner[value])]
        assert isinstance(found, ActivationQuantizer)
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
        return self.of_pixels(pixels)

    def forward_pixels(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of uint8 images [N, H, W, C]: what `forward` says of them, normalised. It raises the same.

        The layers run on channels_last tensors, for that is how images lie in memory.
        """
        if images.dtype != torch.uint8 or images.dim() != 4 or tuple(images.shape[1:]) != self.preprocess.shape:
            shape = ", ".join(map(str, self.preprocess.shape))
            raise EngineError(f"expected uint8 images of [N, {shape}], found {images.dtype} {list(images.shape)}")
        return self.of_pixels(images.contiguous().permute(0, 3, 1, 2).float())

    def of_pixels(self, pixels: Tensor) -> Tensor:
        """Logits [N, classes] of pixels, float32 [N, C, H, W] in 0..255: in train mode differentiable in them, too."""
        if not self.training:
            return self.run_integers(pixels)
        self._expect_calibrated()
        return self._fake_quantized(self._real(pixels))

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
        return self.float_walk(x)

    def set_progress(self, share: float) -> None:
        """Tell the quantizers how much of the training is done, 0 to 1: some training algorithms follow a schedule."""
        for module in self.modules():
            if isinstance(module, ActivationQuantizer | WeightQuantizer):
                module.progress = share

    def steps(self) -> Iterator[Step]:
        """Every node of the float graph in order, each with the values that nothing reads after it."""
        return steps(self.graph)

    def float_walk(self, real: Tensor, see: Callable[[str, Tensor], None] = lambda name, value: None) -> Tensor:
        """The float model's logits of `real_input`; `see` is called with every value and its name."""

        def run(node: Node, xs: list[Tensor]) -> Tensor:
            value: Tensor = self.layer(node.name)(xs, quantized=False)
            see(node.name, value)
            return value

        return compute(self.graph, {self.graph.input: real}, run)

    def _fake_quantized(self, real: Tensor) -> Tensor:
        def run(node: Node, xs: list[Tensor]) -> Tensor:
            return self.layer(node.name).fake_quantized(xs, self.quantizer(node.name))

        return compute(self.graph, {self.graph.input: real}, run)

    def run_integers(self, pixels: Tensor, trace: Callable[[str, Tensor], None] | None = None) -> Tensor:
        """Logits of pixel codes [N, C, H, W] (whole numbers in float32), computed in integers; `trace` sees every value."""
        return self._integers()(pixels, trace)

    def lower(self) -> Graph:
        """The integer graph of this moment. CalibrationError before calibration."""
        self._expect_calibrated()
        if self._settled is not None and self._revision is not None and self._revision.holds(self):
            return self._settled.graph
        return lower(self)

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
        if self._settled is None or self._revision is None or not self._revision.holds(self):
            self._settled = None
            self._settled = Integers(self.lower(), self.preprocess, self.image_scale.device)
            self._revision = Revision.of(self)
        return self._settled

    def _expect_calibrated(self) -> None:
        weights = [layer.quantizer for layer in self.layers.values() if isinstance(layer, Layer)]
        values = [found for found in self.quantizers.values() if isinstance(found, ActivationQuantizer)]
        scales = [found.scale.detach().reshape(-1) for found in (*values, *weights) if found is not None]
        if scales and not torch.isfinite(torch.cat(scales)).all():
            raise CalibrationError("the model has no ranges yet; call bitwright.calibrate(prepared, images) first")


def key_of(name: str) -> str:
    """A node's name as a key of a ModuleDict, which knows neither dots nor names like `values`."""
    return "/" + name.replace(".", "/")
