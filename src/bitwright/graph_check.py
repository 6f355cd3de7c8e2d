"""What an integer graph must be before anything runs it: an artifact may come from anywhere."""

import math

from bitwright.errors import GraphError
from bitwright.graph import Graph, Value
from bitwright.images.preprocess import Preprocess
from bitwright.ops import INTEGER_OPS, integer_op
from bitwright.qtensor import QType

MAX_ELEMENTS = 2**28
"""No value may have more elements per image than this, so that a small file cannot claim all memory."""


def check_graph(graph: Graph) -> None:
    """Raise GraphError unless an integer graph is complete, consistent, safe to allocate and safe from overflow."""
    computed = {node.name for node in graph.nodes}
    several = len(set(graph.inputs)) < len(graph.inputs) or len(computed) < len(graph.nodes)
    if several or not computed.isdisjoint(graph.inputs) or set(graph.values) != computed.union(graph.inputs):
        raise GraphError("every value must be an input or the result of exactly one node")
    for name in graph.inputs:
        _check_input(name, graph.values[name])
    known = set(graph.inputs)
    sound: set[tuple[QType, int]] = set()  # types, with so many channels: thousands of values may have the same
    for node in graph.nodes:
        where = f"node {node.name!r} ({node.op})"
        if not _is_text(node.name + node.origin):
            raise GraphError(f"{where}: its name or origin holds a lone surrogate, which is no text")
        if node.op not in INTEGER_OPS:
            raise GraphError(f"{where}: unknown op; known ops: {', '.join(INTEGER_OPS)}")
        if not known.issuperset(node.inputs):
            raise GraphError(f"{where}: reads {sorted(set(node.inputs) - known)}, which no earlier node computes")
        value = graph.values[node.name]
        if not 0 <= value.channel < len(value.shape):
            raise GraphError(f"{where}: its result {value.shape} has no axis {value.channel} to be its channel")
        if math.prod(value.shape) > MAX_ELEMENTS:
            raise GraphError(f"{where}: its result has more than {MAX_ELEMENTS} elements")
        if value.type is not None and (value.type, value.channels) not in sound:
            value.type.check(where, value.channels)
            sound.add((value.type, value.channels))
        integer_op(node).validate(node, graph.inputs_of(node), value)
        known.add(node.name)
    for output in graph.outputs:
        if output not in known or graph.values[output].type is not None:
            raise GraphError(f"the output {output!r:.100} must be a value, and float32")


def check_classifier(graph: Graph, preprocess: Preprocess) -> None:
    """Raise GraphError unless a checked graph is a classifier's: one image in, as the preprocessing makes it, logits out."""
    if fault := classifier_fault(graph):
        raise GraphError(fault)
    image, scheme = graph.values[graph.input], "uint8" if preprocess.encoder is None else "bit"
    if image.shape != preprocess.codes_shape or image.channel != 0:
        raise GraphError(
            f"expected an input of {preprocess.codes_shape} with axis 0 as its channel, "
            f"found {image.shape} with axis {image.channel}"
        )
    if image.type is None or not image.type.per_channel or image.type.scheme != scheme:
        raise GraphError(f"expected an input of {scheme} with a scale per channel, found {image.type}")


def classifier_fault(graph: Graph) -> str | None:
    """Why a graph, float or of integers, is no classifier's, which has one image in and logits out; None where it is one."""
    if len(graph.inputs) != 1:
        names = ", ".join(map(repr, graph.inputs)) or "none"
        return f"expected one input, the image, found {len(graph.inputs)}: {names:.200}"
    shape = graph.values[graph.output].shape
    if len(shape) != 1:
        found = ", ".join(map(str, ("N", *shape)))
        return f"expected logits of [N, classes], found the output {graph.output!r:.100} of [{found}]"
    return None


def _check_input(name: str, value: Value) -> None:
    where = f"the input {name!r:.100}"
    if not _is_text(name):
        raise GraphError(f"{where}: its name holds a lone surrogate, which is no text")
    if not 0 <= value.channel < len(value.shape):
        raise GraphError(f"{where}: {value.shape} has no axis {value.channel} to be its channel")
    if math.prod(value.shape) > MAX_ELEMENTS:
        raise GraphError(f"{where}: it has more than {MAX_ELEMENTS} elements")
    if value.type is None:
        raise GraphError(f"{where} is float32; only codes can be computed with")
    value.type.check(where, value.channels)


def _is_text(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
