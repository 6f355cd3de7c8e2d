"""`beside`: an artifact and an ONNX model on the same images: labels that change, and where the codes part."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from bitwright.artifact import Artifact
from bitwright.engine import Engine
from bitwright.errors import ModelError
from bitwright.export.peers import PEERS
from bitwright.export.saturating import saturated_logits
from bitwright.images.sources import ImageSource
from bitwright.prediction import classes_of
from bitwright.progress import SILENT, Progress

BATCH, TRACED = 32, 16
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class LayerGap:
    """How the codes of one value differ: on how many of 100 they do, and by how many at most."""

    name: str
    differing_percent: float
    largest: int


@dataclass(frozen=True)
class Saturated:
    """How far the artifact would be from itself on a processor without VNNI (`export.saturating`)."""

    changed: int
    largest_logit_difference: float


@dataclass(frozen=True)
class Beside:
    """How far an ONNX model is from an artifact.

    Fields:
        runtime: what ran it, with its version.
        changed: images to which it gives another class.
        largest_logit_difference: over all images.
        layers: of the values that the ONNX model has by the artifact's names, on the first images.
        saturated: None where that was not asked for.
        isa: the instruction set of the artifact's engine.
        threads: of both; None: as many as they like.
    """

    runtime: str
    images: int
    changed: int
    largest_logit_difference: float
    layers: tuple[LayerGap, ...]
    saturated: Saturated | None = None
    isa: str = ""
    threads: int | None = None

    @property
    def agreement_percent(self) -> float:
        return 100 * (1 - self.changed / self.images) if self.images else 100.0

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "agreement_percent": self.agreement_percent}


def beside(
    artifact: Artifact,
    path: Path,
    source: ImageSource,
    *,
    peer: str = "onnxruntime",
    saturating: bool = False,
    limit: int | None = None,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> Beside:
    """Run both on images, the ONNX model with a peer on the CPU.

    Args:
        artifact: the integer model.
        path: the ONNX model.
        source: the images.
        peer: a name in `PEERS`.
        saturating: whether to compute also what kernels that saturate make of the artifact; that takes seconds an image.
        limit: only so many images, the first ones.
        threads: of both; None: as many as they like.
        progress: hears how far the work is.

    Raises:
        ModelError: the ONNX model cannot be run, or does not take the artifact's images.
        MissingExtraError: the peer is not installed.
    """
    engine, session = Engine(artifact, threads=threads), PEERS[peer](path.read_bytes(), str(path), artifact, threads)
    count = len(source) if limit is None else min(limit, len(source))
    changed, images, largest, first = 0, 0, 0.0, None
    lost, gap = 0, 0.0
    for batch in source.batches(artifact.preprocess, min(BATCH, count)):
        pixels = batch.images[: count - images]
        ours, theirs = engine(pixels), session.run(pixels)[0]
        if ours.shape != theirs.shape:
            raise ModelError(f"{path}: expected logits of {list(ours.shape)}, found {list(theirs.shape)}")
        if saturating:
            rough = saturated_logits(artifact.graph, pixels)
            lost += int((classes_of(ours) != classes_of(rough)).sum())
            gap = max(gap, float(np.abs(ours - rough).max()))
        changed += int((classes_of(ours) != classes_of(theirs)).sum())
        images += len(ours)
        largest = max(largest, float(np.abs(ours - theirs).max()))
        first = pixels[:TRACED] if first is None else first
        progress.at("images", images, count)
        if images == count:
            break
    layers = () if first is None else tuple(_layers(artifact, engine, path, first, peer, threads))
    from bitwright import _native  # there, now that the engine is

    saturated = Saturated(lost, gap) if saturating else None
    return Beside(session.runtime, images, changed, largest, layers, saturated, _native.chosen_isa(), threads)


def _layers(
    artifact: Artifact, engine: Engine, path: Path, pixels: Pixels, peer: str, threads: int | None
) -> Iterator[LayerGap]:
    """The codes of values that both have, layer by layer."""
    model = onnx.load(path, load_external_data=False)
    made = {output for node in model.graph.node for output in node.output}
    graph = artifact.graph
    names = [node.name for node in graph.nodes if node.name in made and graph.values[node.name].type is not None]
    if not names:
        return
    before = len(model.graph.output)
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, None) for name in names)
    theirs = PEERS[peer](model.SerializeToString(), str(path), artifact, threads).run(pixels)[before:]
    ours = engine.trace(pixels)
    for name, found in zip(names, theirs, strict=True):
        if name in ours and ours[name].shape == found.shape:
            gap = np.abs(ours[name].astype(np.int16) - found.astype(np.int16))
            yield LayerGap(name, 100 * float((gap > 0).mean()), int(gap.max()))
