"""`capture`: export a module with a free batch dimension, and map every ATen op of it to an op of ours.

An op that has no mapping is an error which names the op, the module path and the source line.
"""

import inspect
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from bitwright.capture.aten import ATEN
from bitwright.capture.builder import Builder, Unmapped
from bitwright.errors import CaptureError, GraphError
from bitwright.graph import Graph, Shape


def capture(model: nn.Module | torch.export.ExportedProgram, shape: Shape) -> Graph:
    """Capture a module, or a program exported earlier, that maps float32 [N, C, H, W] to logits [N, classes].

    `shape` is (C, H, W). The module is captured as in eval mode and left as it was. Raises CaptureError where it takes
    several inputs, its control flow depends on data, its batch dimension is not free, or an op has no mapping.
    """
    program = model if isinstance(model, torch.export.ExportedProgram) else _export(model, shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = program.run_decompositions({})
    builder = Builder(program, shape)
    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        target = node.target.__name__ if node.target.__module__ == "_operator" else str(node.target)
        mapping = ATEN.get(target)
        if mapping is None:
            raise CaptureError(f"no mapping for the op {target}{located(node)}")
        try:
            builder.env[node] = mapping(builder, node)
        except (Unmapped, GraphError, TypeError, ValueError, KeyError, IndexError) as error:
            raise CaptureError(f"cannot map the op {target}: {error}{located(node)}") from error
    return builder.finish()


def _export(model: nn.Module, shape: Shape) -> torch.export.ExportedProgram:
    _expect_one_input(model)
    parameter = next(model.parameters(), torch.empty(0))
    if parameter.dtype != torch.float32:
        raise CaptureError(f"expected a float32 model, found {parameter.dtype}; call model.float() first")
    example = torch.zeros(2, *shape, device=parameter.device)
    try:
        with _in_eval_mode(model), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            return torch.export.export(model, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    except Exception as error:  # torch.export raises what it likes, the module's own errors among it
        raise CaptureError(f"torch.export cannot capture {type(model).__name__}: {_explain(error)}") from error


def _expect_one_input(model: nn.Module) -> None:
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
    return f"\n  in module: {path}" + (f"\n  at {lines[-1][0]}:{lines[-1][1]}" if lines else "")
