"""`with_free_batch`: an exported program for any number of images, where it was exported for so many.

What it does with the batch is written as numbers then: `view(1, 512)`. The program runs once on no numbers with a symbol for
the batch, so that each reshape shows where the batch is, and is exported anew; layers keep their names and source lines. That
both compute the same is measured on random images.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext
from torch.utils import _pytree as pytree

from bitwright.capture.quiet import quiet
from bitwright.errors import CaptureError

_ATEN = torch.ops.aten
_RESHAPES = (_ATEN.view.default, _ATEN.reshape.default, _ATEN._unsafe_view.default)
_TOLERANCE = 1e-3
"""Of the largest output: other sizes are computed by other kernels, which add up in another order."""


def fixed_image(program: torch.export.ExportedProgram) -> tuple[int, ...] | None:
    """The shape [N, C, H, W] of the one image tensor that a program takes, -1 where one is free; None where it takes others."""
    image = _image(program)
    return None if image is None else tuple(size if isinstance(size, int) else -1 for size in image.shape)


def _image(program: torch.export.ExportedProgram) -> Tensor | None:
    wanted = program.graph_signature.user_inputs
    found = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder" and node.name in wanted]
    return found[0] if len(found) == 1 and isinstance(found[0], Tensor) and found[0].dim() == 4 else None


def with_free_batch(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The program for any batch; itself where it is one already, or takes no images of a fixed size.

    Raises:
        CaptureError: it cannot be freed, or then computes something else; the message says how to export it.
    """
    shape, example = fixed_image(program), _image(program)
    if shape is None or example is None or -1 in shape or not example.is_floating_point():
        return program
    batch, *image = shape
    images = torch.randn(2 * batch, *image, generator=torch.Generator().manual_seed(0)).to(example.dtype)
    try:
        with quiet(), torch.no_grad():
            module = program.module(check_guards=False)
            assert isinstance(module, torch.fx.GraphModule)
            mode, fake = _symbolic(images)
            with mode:
                _Freed(module, batch).run(fake)
            module.recompile()
            free: Any = {0: torch.export.Dim("batch")}
            freed = torch.export.export(module, (torch.cat([images, images]),), dynamic_shapes=(free,))
            is_same = _computes_the_same(program, freed, images)
    except Exception as error:  # torch raises what it likes
        raise _refused(batch, (str(error).strip() or type(error).__name__).splitlines()[0]) from error
    if not is_same:
        raise _refused(batch, "with another batch it computes something else of the same image")
    return freed


def freed_sizes(shape: Sequence[Any], sizes: Sequence[int], batch: int) -> list[int] | None:
    """Sizes of a reshape that were written for a batch of `batch`, for any; None where no axis of `shape` is a symbol.

    The batch stays behind the same numbers: the axis with as many of them in front of it as the symbol has becomes -1.
    """
    place = next((i for i, size in enumerate(shape) if not isinstance(size, int)), None)
    if place is None:
        return None
    share = math.prod(int(size) for i, size in enumerate(shape) if i != place)
    rest = math.prod(size for size in sizes if size != -1)
    sizes = [share * batch // max(rest, 1) if size == -1 else size for size in sizes]
    before = math.prod(int(size) for size in shape[:place])
    axes = [i for i in range(len(sizes)) if math.prod(sizes[:i]) == before]
    return [-1 if i == axes[0] else size for i, size in enumerate(sizes)] if axes else None


class _Freed(torch.fx.Interpreter):
    """Runs a program on a tensor with a symbol for the batch, and changes what of its nodes is for `batch` images."""

    def __init__(self, module: torch.fx.GraphModule, batch: int) -> None:
        super().__init__(module)
        self._batch = batch

    def run_node(self, n: torch.fx.Node) -> Any:
        if n.target in _RESHAPES and all(isinstance(size, int) for size in n.args[1]):  # type: ignore[union-attr]
            sizes: Any = freed_sizes(self.env[n.args[0]].shape, n.args[1], self._batch)  # type: ignore[index,arg-type]
            n.args = (n.args[0], n.args[1] if sizes is None else sizes)
        elif n.target is _ATEN.expand.default and not isinstance(self.env[n.args[0]].shape[0], int):  # type: ignore[index]
            n.args = (n.args[0], [-1, *n.args[1][1:]])  # type: ignore[index,misc]
        elif n.target is _ATEN.cat.default:
            self._repeat_constants(n)
        return super().run_node(n)

    def _repeat_constants(self, node: torch.fx.Node) -> None:
        """What belongs to the model, such as a class token, is there once for each image."""
        parts: Any = node.args[0]
        free = next((part for part in parts if not isinstance(self.env[part].shape[0], int)), None)
        if free is None:
            return
        whole = []
        with node.graph.inserting_before(node):
            for part in parts:
                found = self.env[part]
                if isinstance(found.shape[0], int) and found.shape[0] == self._batch:
                    one = node.graph.call_function(_ATEN.slice.Tensor, (part, 0, 0, 1))
                    images = node.graph.call_function(_ATEN.sym_size.int, (free, 0))
                    part = node.graph.call_function(_ATEN.expand.default, (one, [images, *[-1] * (found.dim() - 1)]))
                    for added in (one, images, part):
                        self.env[added] = super().run_node(added)
                whole.append(part)
        node.args = (whole, *node.args[1:])


def _symbolic(images: Tensor) -> tuple[Any, Tensor]:
    """A mode in which nothing is computed, and images of it with a symbol for their number."""
    context: Any = StatelessSymbolicContext(dynamic_sizes=[DimDynamic.DYNAMIC, *[DimDynamic.STATIC] * 3])
    mode = torch._subclasses.FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
    return mode, mode.from_tensor(images, symbolic_context=context)


def _computes_the_same(
    program: torch.export.ExportedProgram, freed: torch.export.ExportedProgram, images: Tensor
) -> bool:
    """Whether both make the same of images [2 N, C, H, W], of which `program` takes N at a time."""
    before, after = (found.module(check_guards=False) for found in (program, freed))
    halves = [pytree.tree_leaves(before(half.clone())) for half in images.chunk(2)]
    whole = pytree.tree_leaves(after(images))
    pairs = zip((torch.cat(parts) for parts in zip(*halves, strict=True)), whole, strict=True)
    return all(
        one.shape == other.shape and bool(((one - other).abs() <= _TOLERANCE * one.abs().max()).all())
        for one, other in pairs
    )


def _refused(batch: int, why: str) -> CaptureError:
    return CaptureError(
        f"the program was exported for a batch of {batch}, which cannot be freed: {why}; export it with a dynamic batch "
        "dimension: torch.export.export(model, (images,), dynamic_shapes=({0: torch.export.Dim('batch')},))"
    )
