"""The outputs of a model by name, and the choice of those that are wanted.

An output of a tuple is called by its place, "0", "1", ...; one of a dictionary or a record (such as transformers') by its key;
inside another one with a dot between, "features.0"; the only tensor there is "logits".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch

from bitwright.errors import CaptureError
from bitwright.graph import LOGITS

Output = str | Sequence[str] | None
"""What is wanted: the logits by their name, or a sequence of names, of which the first one is that of the logits."""


def named(result: Any) -> dict[str, Any]:
    """Everything in a model's result by name."""
    return {name or LOGITS: leaf for name, leaf in _leaves(result, "")}


def _leaves(result: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if result is None:
        return
    if isinstance(result, Mapping):
        parts = [(str(key), value) for key, value in result.items()]
    elif is_dataclass(result) and not isinstance(result, type):
        parts = [(field.name, getattr(result, field.name)) for field in fields(result)]
    elif isinstance(result, tuple | list):
        keys = getattr(result, "_fields", range(len(result)))
        parts = [(str(key), value) for key, value in zip(keys, result, strict=True)]
    else:
        yield prefix, result
        return
    for key, value in parts:
        yield from _leaves(value, f"{prefix}.{key}" if prefix else key)


def choose(found: Mapping[str, Any], output: Output) -> dict[str, Any]:
    """The wanted outputs by name, the logits first: `output`, else the only one, else the one that is called "logits".

    Raises CaptureError where there is no such output, or it is not clear which one is meant.
    """
    wanted = [output] if isinstance(output, str) else list(output or ())
    if not wanted:
        wanted = list(found) if len(found) == 1 else [LOGITS] if LOGITS in found else []
    if not found:
        raise CaptureError("the model returns no tensor: does its forward return the logits?")
    if not wanted:
        raise CaptureError(
            f"the model has the outputs {', '.join(found)}; say by output= (--logits) which one the logits are"
        )
    missing = [name for name in wanted if name not in found]
    if missing:
        raise CaptureError(f"the model has no output {', '.join(missing)}; it has {', '.join(found)}")
    return {name: found[name] for name in wanted}


def chosen_outputs(program: torch.export.ExportedProgram, output: Output) -> dict[str, torch.fx.Node]:
    """The fx nodes of the wanted outputs of a program."""
    nodes = {node.name: node for node in program.graph.nodes}
    leaves = [nodes.get(name) if isinstance(name, str) else None for name in program.graph_signature.user_outputs]
    result = torch.utils._pytree.tree_unflatten(leaves, program.call_spec.out_spec)
    return choose(named(result), output)
