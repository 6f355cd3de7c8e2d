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
from bitwright.errors import MissingExtraError, ModelError
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
class Beside:
    """How far an ONNX model is from an artifact.

    Fields:
        changed: images to which it gives another class.
        largest_logit_difference: over all images.
        layers: of the values that the ONNX model has by the artifact's names, on the first images.
    """

    images: int
    changed: int
    largest_logit_difference: float
    layers: tuple[LayerGap, ...]

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
    limit: int | None = None,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> Beside:
    """Run both on images, the ONNX model with ONNX Runtime on the CPU.

    Raises:
        ModelError: the ONNX model cannot be run, or does not take the artifact's images.
        MissingExtraError: onnxruntime is not installed.
    """
    engine, session = Engine(artifact, threads=threads), _Session(path.read_bytes(), str(path), artifact, threads)
    count = len(source) if limit is None else min(limit, len(source))
    changed, images, largest, first = 0, 0, 0.0, None
    for batch in source.batches(artifact.preprocess, min(BATCH, count)):
        pixels = batch.images[: count - images]
        ours, theirs = engine(pixels), session.run(pixels)[0]
        if ours.shape != theirs.shape:
            raise ModelError(f"{path}: expected logits of {list(ours.shape)}, found {list(theirs.shape)}")
        changed += int((classes_of(ours) != classes_of(theirs)).sum())
        images += len(ours)
        largest = max(largest, float(np.abs(ours - theirs).max()))
        first = pixels[:TRACED] if first is None else first
        progress.at("images", images, count)
        if images == count:
            break
    layers = () if first is None else tuple(_layers(artifact, engine, path, first, threads))
    return Beside(images, changed, largest, layers)


def _layers(artifact: Artifact, engine: Engine, path: Path, pixels: Pixels, threads: int | None) -> Iterator[LayerGap]:
    """The codes of values that both have, layer by layer."""
    model = onnx.load(path, load_external_data=False)
    made = {output for node in model.graph.node for output in node.output}
    graph = artifact.graph
    names = [node.name for node in graph.nodes if node.name in made and graph.values[node.name].type is not None]
    if not names:
        return
    before = len(model.graph.output)
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, None) for name in names)
    theirs = _Session(model.SerializeToString(), str(path), artifact, threads).run(pixels)[before:]
    ours = engine.trace(pixels)
    for name, found in zip(names, theirs, strict=True):
        if name in ours and ours[name].shape == found.shape:
            gap = np.abs(ours[name].astype(np.int16) - found.astype(np.int16))
            yield LayerGap(name, 100 * float((gap > 0).mean()), int(gap.max()))


class _Session:
    """An ONNX model in ONNX Runtime, fed with the pixels of an artifact."""

    def __init__(self, data: bytes, name: str, artifact: Artifact, threads: int | None) -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise MissingExtraError("onnxruntime", "peers") from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or 0
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # of onnxruntime's own types
            raise ModelError(f"{name}: ONNX Runtime cannot load it: {str(error).splitlines()[0]}") from error
        self._name, self._preprocess = name, artifact.preprocess
        self._input = self._session.get_inputs()[0]

    def run(self, pixels: Pixels) -> list[npt.NDArray[Any]]:
        """Its outputs for pixels [N, H, W, C], which it gets as they are where it takes integers, else normalised."""
        given = pixels if "int8" in self._input.type else self._preprocess.normalise(pixels)
        try:
            found: list[npt.NDArray[Any]] = self._session.run(None, {self._input.name: given})
        except Exception as error:  # of onnxruntime's own types
            raise ModelError(
                f"{self._name}: ONNX Runtime cannot run it on {given.dtype} {list(given.shape)}: {str(error).splitlines()[0]}"
            ) from error
        return found
