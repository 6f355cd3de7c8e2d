"""What an integer graph must be before anything runs it: an artifact may come from anywhere."""

import math

from bitwright.errors import GraphError
from bitwright.graph import INPUT, Graph
from bitwright.images.preprocess import Preprocess
from bitwright.ops import INTEGER_OPS, integer_op
from bitwright.qtensor import QType

MAX_ELEMENTS = 2**28
"""No value may have more elements per image than this, so that a small file cannot claim all memory."""


def check_graph(graph: Graph, preprocess: Preprocess) -> None:
    """Raise GraphError unless an integer graph is complete, consistent, safe to allocate and safe from overflow."""
    image, scheme = graph.values.get(INPUT), "uint8" if preprocess.encoder is None else "bit"
    if image is None or image.shape != preprocess.codes_shape:
        raise GraphError(f"expected an input of {preprocess.codes_shape}, found {image and image.shape}")
    if image.type is None or not image.type.per_channel or image.type.scheme != scheme:
        raise GraphError(f"expected an input of {scheme} with a scale per channel, found {image.type}")
    if set(graph.values) != {INPUT} | {node.name for node in graph.nodes} or len(graph.values) != len(graph.nodes) + 1:
        raise GraphError("every value must be the input or the result of exactly one node")
    known = {INPUT}
    if image.channel != 0:
        raise GraphError(f"expected an input with axis 0 as its channel, found axis {image.channel}")
    image.type.check("input", image.channels)
    sound: set[tuple[QType, int]] = set()  # types, with so many channels: thousands of values may have the same
    for node in graph.nodes:
        where = f"node {node.name!r} ({node.op})"
        if not (node.name + node.origin).isascii() and not _is_text(node.name + node.origin):
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


def check_classifier(graph: Graph) -> None:
    """Raise GraphError unless a checked graph gives logits: one axis of numbers, a number for each class."""
    if len(graph.values[graph.output].shape) != 1:
        raise GraphError(f"the output {graph.output!r:.100} must be a value of one axis, the logits")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
