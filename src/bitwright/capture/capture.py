"""`capture`: export a module with a free batch dimension, and map every ATen op of it to an op of ours.

An op that has no mapping is an error which names the op, the module path and the source line.
"""

import inspect
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from bitwright.capture.aliases import decompositions
from bitwright.capture.aten import ATEN, ON_CONSTANTS
from bitwright.capture.aten.displaced import within
from bitwright.capture.aten.functional import made_functional
from bitwright.capture.aten.idioms import recognised
from bitwright.capture.aten.refused import why_refused
from bitwright.capture.constants import fold, is_foldable
from bitwright.capture.draft import Unmapped
from bitwright.capture.free_batch import with_free_batch
from bitwright.capture.given import FileTypes
from bitwright.capture.one_number import Elementwise
from bitwright.capture.outputs import Output
from bitwright.capture.program import Displaced, Program
from bitwright.capture.quiet import quiet
from bitwright.capture.tail import find_squeeze, find_tail, op_name
from bitwright.capture.translated import file_types_in, foreign_in
from bitwright.capture.unwrap import unwrap
from bitwright.errors import CaptureError, CaptureWarning, GraphError
from bitwright.graph import Graph, Shape
from bitwright.graph_check import classifier_fault
from bitwright.registry import Foreign


@dataclass(frozen=True)
class Captured:
    """A float graph, and what of the model is not in it as it was."""

    graph: Graph
    notes: tuple[str, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    """The mappings of ops that are not ours."""
    in_float32: bool = True
    """Whether the model computes in float32 throughout, as the graph does."""
    file: FileTypes | None = None
    """What a quantized file says of its scales."""


def classifier(graph: Graph) -> Graph:
    """The graph itself. CaptureError where it is no classifier's: one image in, logits out."""
    if fault := classifier_fault(graph):
        raise CaptureError(fault)
    return graph


def capture(model: nn.Module | torch.export.ExportedProgram, shape: Shape, output: Output = None) -> Graph:
    """Capture a module, or a program exported earlier, that maps floating-point [N, C, H, W] to logits [N, classes].

    `shape` is (C, H, W). Of several outputs, `output` names the logits, or these and others to keep (see `capture.outputs`).
    The module is captured as in eval mode and left as it was. A softmax at its end is left out, and what is computed in another
    type than float32 is captured in float32; both with a CaptureWarning.

    Raises:
        ModelError: it is no float model.
        CaptureError: it takes several inputs, its control flow depends on data, its batch dimension is not free, it draws
            random numbers, a weight is not finite, or an op has no mapping.
    """
    found = captured(model, shape, output)
    for note in found.notes:
        warnings.warn(note, CaptureWarning, stacklevel=2)
    return found.graph


def captured(model: nn.Module | torch.export.ExportedProgram, shape: Shape, output: Output = None) -> Captured:
    """What `capture` does, with the notes in place of warnings."""
    exported = _exported(model, shape)
    program = Program(exported, shape, output)
    elementwise = Elementwise(program)
    live = _live(exported.graph, program.outputs.values())
    for node in live:
        _expect_no_randomness(node)
    tail = _tail(program, live)
    squeezed = find_squeeze(next(iter(program.outputs.values())), tail) if len(program.outputs) == 1 else []
    for node in live:
        if node in tail or node in squeezed:
            program.env[node] = program.env[node.all_input_nodes[0]]
            continue
        program.env[node] = _mapped_or_why_not(program, elementwise, node)
    others = _other_types(exported, live)
    return Captured(
        classifier(program.finish()),
        tuple(_notes(tail, others)),
        (*foreign_in(unwrap(model)), *program.foreign),
        not others,
        file_types_in(unwrap(model)),
    )


def left_out(model: nn.Module | torch.export.ExportedProgram, shape: Shape, output: Output = None) -> tuple[str, ...]:
    """The ATen names of what `captured` leaves out at the end, in order: none where the model returns logits."""
    exported = _exported(model, shape)
    program = Program(exported, shape, output)
    return tuple(map(op_name, reversed(_tail(program, _live(exported.graph, program.outputs.values())))))


def _exported(model: nn.Module | torch.export.ExportedProgram, shape: Shape) -> torch.export.ExportedProgram:
    model = unwrap(model)
    exported: torch.export.ExportedProgram
    if isinstance(model, torch.export.ExportedProgram):
        exported = with_free_batch(model)
    else:
        exported = _export(model, shape)
        if made_functional(exported):
            return exported
    with quiet():
        exported = exported.run_decompositions(decompositions())
    return exported


def _tail(program: Program, live: list[torch.fx.Node]) -> list[torch.fx.Node]:
    return find_tail(next(iter(program.outputs.values())), live) if len(program.outputs) == 1 else []


def _other_types(exported: torch.export.ExportedProgram, live: list[torch.fx.Node]) -> list[str]:
    """The floating-point types other than float32 that the model computes in."""
    inputs = [node for node in exported.graph.nodes if node.op == "placeholder"]
    values = [node.meta.get("val") for node in (*inputs, *live)]
    types = {value.dtype for value in values if isinstance(value, torch.Tensor) and value.is_floating_point()}
    return sorted(str(dtype) for dtype in types - {torch.float32})


def _notes(tail: list[torch.fx.Node], others: list[str]) -> Iterator[str]:
    if tail:
        names = " and ".join(map(op_name, reversed(tail)))
        yield f"the final {names} is left out: the logits in front of it have the same classes"
    if others:
        yield f"the model computes in {', '.join(others)}; it is captured in torch.float32"


def _live(graph: torch.fx.Graph, outputs: Iterable[torch.fx.Node]) -> list[torch.fx.Node]:
    """The ops that the outputs depend on, in order."""
    needed = set(outputs)
    for node in reversed(graph.nodes):
        if node in needed:
            needed.update(node.all_input_nodes)
    return [node for node in graph.nodes if node in needed and node.op == "call_function"]


def _expect_no_randomness(node: torch.fx.Node) -> None:
    """CaptureError for an op that draws random numbers, even in eval mode. Some do so only when told that they train."""
    if torch.Tag.nondeterministic_seeded not in getattr(node.target, "tags", ()):
        return
    names = [argument.name for argument in node.target._schema.arguments]  # type: ignore[union-attr]
    given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    switches = [name for name in ("train", "training", "dropout_p") if name in names]
    if switches and not given.get(switches[0]):
        return
    advice = "write F.dropout(x, p, training=self.training)" if "dropout" in str(node.target) else "leave it out"
    raise CaptureError(
        f"the model draws random numbers each time it runs, in eval mode too, by the op {node.target} "
        f"(a dropout that is always on?); {advice}{located(node)}"
    )


def _mapped_or_why_not(program: Program, elementwise: Elementwise, node: torch.fx.Node) -> Any:
    """What an fx node stands for, or the error: of the first op that can't be mapped. Some idioms need none of their parts."""
    whole = None if is_foldable(program, node) else recognised(program, node)
    failed = [error for read in node.all_input_nodes if isinstance(error := program.env.get(read), CaptureError)]
    if failed and whole is None:
        return failed[0]
    try:
        if whole is not None:
            program.begin(node)
            return whole()
        if any(isinstance(program.env.get(read), Displaced) for read in node.all_input_nodes):
            return within(program, node, lambda p, fx: _mapped(p, elementwise, fx))
        return _mapped(program, elementwise, node)
    except CaptureError as error:
        return error
    except (Unmapped, GraphError, TypeError, ValueError, KeyError, IndexError) as error:
        found = CaptureError(f"cannot map the op {node.target}: {error}{located(node)}")
        found.__cause__ = error
        return found


def _mapped(program: Program, elementwise: Elementwise, node: torch.fx.Node) -> Any:
    """What an fx node stands for: the name of a value, or of several, or a constant."""
    target = node.target.__name__ if node.target.__module__ == "_operator" else str(node.target)  # type: ignore[union-attr]
    if target not in ON_CONSTANTS and is_foldable(program, node):
        return fold(program, node)
    program.begin(node)
    mapping, step = ATEN.ours.get(target), elementwise.step(node)
    source = elementwise.source(step, mapped=mapping is not None) if step is not None else None
    if step is not None and source is not None:
        found: Any = elementwise.emit(step, source)
    elif mapping is not None:
        found = mapping(program, node)
    elif target in ATEN:
        found = _mapped_by_another(program, node, target)
    else:
        raise CaptureError(f"no mapping for the op {target}{why_refused(node)}{located(node)}")
    if step is not None:
        elementwise.record(found, step)
    return found


def _mapped_by_another(program: Program, node: torch.fx.Node, target: str) -> Any:
    """What a mapping that is not ours makes of an fx node; the program remembers whose it is."""
    mapping, origin = ATEN[target], ATEN.origin(target)
    found = mapping(program, node)
    names = found if isinstance(found, tuple | list) else (found,)
    if not all(isinstance(name, str) and name in program.builder.values for name in names):
        raise CaptureError(
            f"{origin} returned {found!r:.100}, expected the name of a value that the program's builder gave, or several"
            f"{located(node)}"
        )
    if origin is not None and origin not in program.foreign:
        program.foreign.append(origin)
    return found


def _export(model: nn.Module, shape: Shape) -> torch.export.ExportedProgram:
    _expect_one_input(model)
    if any(tensor.is_inference() for tensor in (*model.parameters(), *model.buffers())):
        raise CaptureError(
            f"{type(model).__name__} was made within torch.inference_mode(); make it outside, for its weights are bound to it"
        )
    tensors = (t for t in (*model.parameters(), *model.buffers()) if t.is_floating_point())
    first = next(tensors, torch.empty(0))
    example = torch.zeros(2, *shape, device=first.device, dtype=first.dtype)
    try:
        with _in_eval_mode(model), quiet(), torch.no_grad():
            batch: Any = {0: torch.export.Dim("batch")}
            shapes = ((batch,),) if _takes_a_star(model) else (batch,)
            return torch.export.export(model, (example,), dynamic_shapes=shapes)
    except Exception as error:  # torch.export raises what it likes, the module's own errors among it
        raise CaptureError(f"torch.export cannot capture {type(model).__name__}: {_explain(error)}") from error


def _takes_a_star(model: nn.Module) -> bool:
    """Whether the image is one of `*args`, as in forward functions that are wrapped."""
    parameters = iter(inspect.signature(model.forward).parameters.values())
    first = next(parameters, None)
    return first is not None and first.kind is inspect.Parameter.VAR_POSITIONAL


def _expect_one_input(model: nn.Module) -> None:
    if type(model).forward is nn.Module.forward:
        raise CaptureError(
            f"{type(model).__name__} has no forward, so it cannot be run; pass the model that its modules are of, or "
            "put them in a torch.nn.Sequential"
        )
    parameters = inspect.signature(model.forward).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [p.name for p in parameters if p.kind in positional and p.default is inspect.Parameter.empty]
    if len(required) > 1:
        raise CaptureError(
            f"expected a model of one input, but {type(model).__name__}.forward needs {len(required)}: "
            f"{', '.join(required)} ({_source_line(model)})"
        )


def _source_line(model: nn.Module) -> str:
    code = type(model).forward.__code__
    return f"{code.co_filename}:{code.co_firstlineno}"


@contextmanager
def _in_eval_mode(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _explain(error: Exception) -> str:
    """The first line of what torch.export says, and the user's source line where it can be told."""
    text = str(error).strip()
    first = text.splitlines()[0] if text else type(error).__name__
    if (
        "data-dependent" in text
        or "GuardOnDataDependent" in type(error).__name__
        or "Unsupported" in type(error).__name__
    ):
        first = f"control flow depends on the data ({first})"
    elif "Constraints violated" in text or "specialized" in text:
        first = f"the batch dimension is not free; use x.size(0) or -1 in place of a fixed batch size ({first})"
    return first + _user_line(error, text)


def _user_line(error: Exception, text: str) -> str:
    """The innermost line outside torch: from torch.export's own report, else from the traceback."""
    frames = (
        [(f.filename, f.lineno) for f in inspect.getinnerframes(error.__traceback__)] if error.__traceback__ else []
    )
    frames += re.findall(r'File "([^"]+)", line (\d+), in', text)
    outside = [(name, line) for name, line in frames if "/torch/" not in name and "/bitwright/" not in name]
    return f"\n  at {outside[-1][0]}:{outside[-1][1]}" if outside else ""


def located(node: torch.fx.Node) -> str:
    """Where an op comes from: the module path and the source line, for a message."""
    stack = node.meta.get("nn_module_stack", {})
    path = next((entry[0] for entry in reversed(stack.values()) if entry[0]), "the model itself")
    lines = re.findall(r'File "([^"]+)", line (\d+), in', node.meta.get("stack_trace") or "")
    lines = [(name, line) for name, line in lines if "/torch/" not in name] or lines
    lines = [(name, line) for name, line in lines if "/bitwright/capture/onnx/" not in name]
    return f"\n  in module: {path}" + (f"\n  at {lines[-1][0]}:{lines[-1][1]}" if lines else "")
