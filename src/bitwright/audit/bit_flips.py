"""`bit_flips`: which single bits of the packed weights hurt most when they flip. Guessed by gradient, measured on the integers.

    guess(bit) = sum over the codes c that it changes of  dL/dw * step * (c' - c)
L is the cross-entropy with the class that the integers give now. The gradient is the float model's, at the weights that the
codes stand for. It chooses which flips are measured: those of the greatest guess of each layer and of all layers (the first
step of Rakin et al. 2019, "Bit-Flip Attack", arXiv 1903.12269), and some at random for comparison. What is reported of a flip
is what the integer model does that has it. A flip that makes a code that the scheme does not have is left out: no reader takes
such a file.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from time import monotonic

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from bitwright.artifact import Artifact
from bitwright.audit.bit_flip_records import BitFlip, BitFlips
from bitwright.audit.subject import Classes, Logits, Pixels, Subject, run_engine
from bitwright.audit.weights import as_float, weights_of
from bitwright.engine import Engine
from bitwright.errors import ArtifactError, GraphError, OverflowBoundError
from bitwright.graph import Node
from bitwright.ops import integer_op, source
from bitwright.prediction import classes_of, log_probabilities
from bitwright.prepared import PreparedModel
from bitwright.progress import SILENT, Progress
from bitwright.schemes import SCHEMES
from bitwright.walk import compute

OF_LAYER, OF_ALL, AT_RANDOM = 3, 50, 50
"""How many flips are measured: of each layer, of all layers, and at random."""
REPORTED = 20
GRADIENT_BATCH = 16
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Units:
    """The smallest parts of a scheme's packed bytes that hold whole codes: one code of int4, or five of ternary in a byte.

    Attributes:
        bits: of a unit.
        states: the codes of each unit that there is, [S, codes].
        changes: what is added to these where one bit flips, [S, bits, codes].
        allowed: whether a reader takes what is left then, [S, bits].
    """

    bits: int
    states: npt.NDArray[np.int64]
    changes: npt.NDArray[np.int64]
    allowed: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, name: str) -> "Units":
        scheme = SCHEMES[name]
        codes = 1 if float(scheme.bits).is_integer() else round(8 / scheme.bits)
        bits = int(scheme.bits) if codes == 1 else 8
        states = np.array(list(product(range(scheme.lo, scheme.hi + 1, scheme.step), repeat=codes)))
        changes, allowed = np.zeros((len(states), bits, codes), np.int64), np.ones((len(states), bits), bool)
        for s, b in np.ndindex(allowed.shape):
            packed = scheme.pack(states[s].astype(scheme.dtype)) ^ np.uint8(1 << b)
            try:
                changes[s, b] = scheme.unpack(packed, codes).astype(np.int64) - states[s]
            except ValueError:
                allowed[s, b] = False
        return cls(bits, states, changes, allowed)

    def guesses(self, codes: npt.NDArray[np.int8], gradient: Floats) -> Floats:
        """What the loss changes by when each bit flips, [units, bits], from dL/dcode; -inf where no reader takes it."""
        count, size = codes.size, self.states.shape[1]
        units = -(-count // size)
        rows, slopes = np.zeros(units * size, np.int64), np.zeros(units * size)
        rows[:count], slopes[:count] = codes.reshape(-1), gradient.reshape(-1)
        lo, hi = self.states.min(), self.states.max()
        of_state = np.full((hi - lo + 1,) * size, -1)
        of_state[tuple(self.states.T - lo)] = np.arange(len(self.states))
        state = of_state[tuple(rows.reshape(units, size).T - lo)]
        found: Floats = np.einsum("us,ubs->ub", slopes.reshape(units, size), self.changes[state])
        found[~self.allowed[state]] = -np.inf
        if (padding := units * size - count) > 0:
            found[-1, self.changes[state[-1], :, size - padding :].any(axis=1)] = -np.inf
        return found


@dataclass(frozen=True)
class Candidate:
    """A bit of a layer's packed weights, counted from the first, and what the loss is guessed to grow by."""

    layer: str
    place: int
    guess: float

    def flipped(self, artifact: Artifact) -> Artifact:
        """The artifact with this bit flipped. ArtifactError or GraphError where none can be so."""
        node = artifact.graph[self.layer]
        weight, scheme = node.tensors["weight"], SCHEMES[node.attrs["weights"]]
        packed = scheme.pack(weight)
        packed[self.place // 8] ^= np.uint8(1 << self.place % 8)
        codes = scheme.unpack(packed, weight.size).reshape(weight.shape).astype(weight.dtype)
        changed = replace(node, tensors={**node.tensors, "weight": codes})
        nodes = tuple(changed if each is node else each for each in artifact.graph.nodes)
        return replace(artifact, graph=replace(artifact.graph, nodes=nodes))


def bit_flips(
    subject: Subject,
    prepared: PreparedModel,
    pixels: Pixels,
    seconds: float,
    seed: int = 0,
    progress: Progress = SILENT,
) -> BitFlips:
    """Flip bits of an artifact's weights, one at a time, and see what that does to images.

    Args:
        prepared: `matched`'s model of the artifact.
        pixels: the first of the subject's images, uint8 [N, H, W, C].
        seconds: after which no further flip is tried.
    """
    begin, logits = monotonic(), subject.logits[: len(pixels)]
    guesses = _guesses(subject.artifact, prepared, pixels, classes_of(logits))
    chosen, others = candidates(guesses), at_random(guesses, seed)
    total = sum(int(np.isfinite(guess).sum()) for guess in guesses.values())
    measured: list[BitFlip] = []
    random: list[BitFlip] = []
    for tried, (candidate, into) in enumerate(_in_turns((chosen, measured), (others, random)), 1):
        if monotonic() - begin > seconds:
            break
        found = _measured(candidate, subject, pixels, logits)
        into += [] if found is None else [found]
        progress.at("bit flips", tried, len(chosen) + len(others))
    worst = sorted({f.key: f for f in (*measured, *random)}.values(), key=lambda flip: (-flip.changed, -flip.kl))
    rates = [flip.changed for flip in random]
    labels = None if subject.labels is None else subject.labels[: len(pixels)]
    return BitFlips(
        images=len(pixels),
        bits=total,
        tried=len(measured),
        of=len(chosen),
        top1=None if labels is None else 100 * float((classes_of(logits) == labels).mean()),
        flips=tuple(worst[:REPORTED]),
        random=len(random),
        random_mean=float(np.mean(rates)) if rates else None,
        random_worst=max(rates, default=None),
    )


def candidates(guesses: Mapping[str, Floats]) -> list[Candidate]:
    """The flips of the greatest guess of each layer, and of all layers, the greatest first."""
    found = {
        name: [Candidate(name, int(i), float(guess.reshape(-1)[i])) for i in _greatest(guess, OF_ALL)]
        for name, guess in guesses.items()
    }
    everywhere = sorted((each for of_layer in found.values() for each in of_layer), key=lambda each: -each.guess)
    kept = {*everywhere[:OF_ALL], *(each for of_layer in found.values() for each in of_layer[:OF_LAYER])}
    return sorted(kept, key=lambda each: (-each.guess, each.layer, each.place))


def at_random(guesses: Mapping[str, Floats], seed: int) -> list[Candidate]:
    """Flips drawn from all that a reader takes, each as likely."""
    places = {name: np.flatnonzero(np.isfinite(guess)) for name, guess in guesses.items()}
    ends = np.cumsum([len(each) for each in places.values()])
    if not len(ends) or not ends[-1]:
        return []
    found, names = [], list(places)
    for i in np.random.default_rng(seed).integers(ends[-1], size=AT_RANDOM).tolist():
        k = int(np.searchsorted(ends, i, side="right"))
        place = int(places[names[k]][i - (ends[k] - len(places[names[k]]))])
        found.append(Candidate(names[k], place, float(guesses[names[k]].reshape(-1)[place])))
    return found


def _greatest(guess: Floats, count: int) -> npt.NDArray[np.int64]:
    flat = guess.reshape(-1)
    most = np.argpartition(-flat, min(count, flat.size) - 1)[:count]
    return most[np.isfinite(flat[most])][np.argsort(-flat[most][np.isfinite(flat[most])], kind="stable")]


def _in_turns(*lists: tuple[list[Candidate], list[BitFlip]]) -> Iterator[tuple[Candidate, list[BitFlip]]]:
    """One of each in turn, so that the time ends in the middle of all of them."""
    for i in range(max(len(each) for each, _ in lists)):
        for each, into in lists:
            if i < len(each):
                yield each[i], into


def _guesses(artifact: Artifact, prepared: PreparedModel, pixels: Pixels, classes: Classes) -> dict[str, Floats]:
    """What each bit of each layer is guessed to add to the mean loss of the images, [units, bits]."""
    weights = dict(_float_weights(artifact, prepared))
    leaves = {name: leaf for name, (leaf, _) in weights.items()}
    for i in range(0, len(pixels), GRADIENT_BATCH):
        wanted = torch.from_numpy(classes[i : i + GRADIENT_BATCH])
        found = _logits(prepared, torch.from_numpy(pixels[i : i + GRADIENT_BATCH]), leaves)
        if found.shape[1] == 1:  # of one logit, the other class's is 0
            found = pad(found, (1, 0))
        (cross_entropy(found, wanted, reduction="sum") / len(pixels)).backward()
    units = {name: Units.of(name) for name in {artifact.graph[name].attrs["weights"] for name in weights}}
    return {
        name: units[artifact.graph[name].attrs["weights"]].guesses(
            artifact.graph[name].tensors["weight"], leaf.grad.double().numpy() * steps
        )
        for name, (leaf, steps) in weights.items()
        if leaf.grad is not None
    }


def _float_weights(artifact: Artifact, prepared: PreparedModel) -> Iterator[tuple[str, tuple[Tensor, Floats]]]:
    """The weight of each layer that its codes stand for, with a gradient, and what one code of it adds."""
    values = artifact.graph.values
    for node in artifact.graph.nodes:
        if not integer_op(node).weighted or prepared.layer(node.name).quantizer is None:
            continue
        layer, x = prepared.layer(node.name), values[source(node)]
        weights = weights_of(layer, node, x, values[node.name], prepared.recipe)
        leaf = torch.from_numpy(as_float(weights, layer, x)["weight"]).requires_grad_()
        ones = replace(node, tensors={**node.tensors, "weight": np.ones_like(weights.codes)})
        yield node.name, (leaf, as_float(replace(weights, node=ones), layer, x)["weight"].astype(np.float64))


def _logits(prepared: PreparedModel, pixels: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    """The float model's logits of uint8 images, with these weights in place of its own."""

    def run(node: Node, xs: list[Tensor]) -> Tensor:
        layer = prepared.layer(node.name)
        own = {name: tensor.detach() for name, tensor in layer.tensors().items()}
        return layer.function(own | ({"weight": weights[node.name]} if node.name in weights else {}), xs)

    with torch.enable_grad():
        return compute(prepared.graph, {prepared.graph.input: prepared.real_input(pixels)}, run)


def _measured(candidate: Candidate, subject: Subject, pixels: Pixels, before: Logits) -> BitFlip | None:
    """What the integer model does with a bit flipped; None where there is no such model."""
    try:
        artifact = candidate.flipped(subject.artifact)
    except (ArtifactError, GraphError, OverflowBoundError):
        return None
    logits = run_engine(Engine(artifact, threads=subject.threads), pixels)
    p, q = log_probabilities(before), log_probabilities(logits)
    one, other = (each.graph[candidate.layer].tensors["weight"].reshape(-1) for each in (subject.artifact, artifact))
    code = int(np.flatnonzero(one != other)[0])
    labels = None if subject.labels is None else subject.labels[: len(pixels)]
    return BitFlip(
        layer=candidate.layer,
        byte=candidate.place // 8,
        bit=candidate.place % 8,
        weight=tuple(int(i) for i in np.unravel_index(code, artifact.graph[candidate.layer].tensors["weight"].shape)),
        before=int(one[code]),
        after=int(other[code]),
        guess=candidate.guess,
        changed=100 * float((classes_of(logits) != classes_of(before)).mean()),
        top1=None if labels is None else 100 * float((classes_of(logits) == labels).mean()),
        kl=float((np.exp(p) * (p - q)).sum(axis=1).mean()),
    )
