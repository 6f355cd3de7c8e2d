"""What is in an artifact, and what was made of a float model, as records (`bitwright.records`); each is built here alone."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bitwright.artifact import Artifact
from bitwright.engine import Engine
from bitwright.graph import Node, Value
from bitwright.images.sources import BadImage
from bitwright.records import (
    CalibrationAlone,
    LayerSummary,
    Measured,
    ModelSummary,
    PlanSummary,
    QuantizationRecord,
    StepSummary,
    TrainingRecord,
)
from bitwright.schemes import SCHEMES

LESS_THAN_ITS_NAME = "_novbmi"
"""Ends the names of instruction sets whose kernels need less than others of the same name: of no use to who reads a plan."""


def model_summary(artifact: Artifact, data: bytes) -> ModelSummary:
    """What is in an artifact; `data` are the bytes of its file."""
    graph = artifact.graph
    return ModelSummary(
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        layers=tuple(_layer(node, graph.values[node.name]) for node in graph.nodes),
        outputs=graph.values[graph.output].shape[0],
        classes=artifact.classes,
        preprocess=artifact.preprocess.to_json(),
        provenance=dict(artifact.provenance),
    )


def plan_summary(artifact: Artifact, threads: int | None) -> PlanSummary:
    """The steps of the native engine's plan for one image. EngineError where the engine was not built."""
    steps = Engine(artifact, backend="native", threads=threads).explain()
    return PlanSummary(
        tuple(
            StepSummary(
                name=step.name,
                op=step.op,
                kernel=step.kernel,
                isa=step.isa.removesuffix(LESS_THAN_ITS_NAME),
                time_us=1e6 * step.seconds,
                percent_of_time=100 * step.share,
                macs=step.macs,
                bytes=step.bytes,
                percent_of_peak=step.percent_of_peak,
            )
            for step in steps
        )
    )


def quantization_record(
    artifact: Artifact, path: Path, float_bytes: int, bad: Iterable[BadImage], measured: Measured | None
) -> QuantizationRecord:
    """What quantizing made of a float model of so many bytes, written to `path`."""
    nodes, values = artifact.graph.nodes, artifact.graph.values
    weights = Counter(str(node.attrs["weights"]) for node in nodes if "weights" in node.attrs)
    return QuantizationRecord(
        artifact=str(path),
        sha256=artifact.digest,
        bytes=len(artifact.data),
        float_bytes=float_bytes,
        layers=len(nodes),
        encoder=artifact.preprocess.encoder,
        weights=dict(sorted(weights.items())),
        activations=dict(sorted(Counter(_activations(values[node.name]) for node in nodes).items())),
        images=artifact.provenance["calibration"]["images"],
        bad=tuple((image.name, image.reason) for image in bad),
        measured=measured,
        provenance=dict(artifact.provenance),
    )


def training_record(
    artifact: Artifact, path: Path, measured: Measured | None, alone: CalibrationAlone | None = None
) -> TrainingRecord:
    """What training made of a float model, written to `path`, and what calibration alone makes of it."""
    training: dict[str, Any] = artifact.provenance["training"]
    return TrainingRecord(str(path), artifact.digest, len(artifact.data), training, measured, alone)


def _layer(node: Node, value: Value) -> LayerSummary:
    weight, scheme = node.tensors.get("weight"), node.attrs.get("weights")
    return LayerSummary(
        name=node.name,
        op=node.op,
        shape=tuple(value.shape),
        weights=scheme,
        activations=_activations(value),
        macs=0 if weight is None else weight.size * value.pixels,
        weight_bytes=0 if weight is None or scheme is None else SCHEMES[scheme].packed_bytes(weight.size),
    )


def _activations(value: Value) -> str:
    return "float32" if value.type is None else value.type.scheme
