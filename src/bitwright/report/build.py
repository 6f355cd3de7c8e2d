"""`build`: measures everything that a report shows."""

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np

from bitwright.artifact import Artifact
from bitwright.audit.records import Audit
from bitwright.budget.costs import machine
from bitwright.budget.race import engine_call, race, undisturbed_turns
from bitwright.chance import exact_interval, mcnemar
from bitwright.classes import ClassNames
from bitwright.errors import SignatureError
from bitwright.gates.gates import Gates
from bitwright.gates.judge import judge
from bitwright.gates.outcomes import Outcomes, outcomes_of
from bitwright.gates.verdict import Verdict
from bitwright.images.sources import ImageSource
from bitwright.labels import By
from bitwright.models.float_models import TorchModel
from bitwright.progress import SILENT, Progress
from bitwright.report.contenders import class_rows, contenders_of, noise_remarks, reliability_of
from bitwright.report.peers import Peer, open_peer, torch_run
from bitwright.report.record import ParetoFront, Report
from bitwright.report.samples import samples_of
from bitwright.signatures import Signature
from bitwright.summary import model_summary, plan_summary


def build(
    artifact: Artifact,
    model: TorchModel,
    source: ImageSource,
    *,
    path: str = "artifact",
    model_name: str = "model",
    preprocess: str = "",
    gates: Gates | None = None,
    baseline: tuple[str, Artifact] | None = None,
    audit: Audit | None = None,
    pareto_front: ParetoFront | None = None,
    signature: Signature | SignatureError | None = None,
    peers: Sequence[str] = (),
    classes: ClassNames | None = None,
    labels: By = "name",
    limit: int | None = None,
    samples: int = 24,
    threads: int | None = None,
    command: str = "",
    progress: Progress = SILENT,
) -> Report:
    """Run an artifact beside its float model, and time both.

    Args:
        artifact: the integer model.
        model: the float model that it was made of.
        source: the images.
        path, model_name, command: what the page calls the artifact, the float model, and the command that makes the page.
        preprocess: the preprocessing in words.
        gates: bounds to judge by.
        baseline: an artifact whose latency is measured beside, and what it is called.
        audit: of the artifact's layers.
        pareto_front: of a search.
        signature: who vouches for the artifact's file, or why nobody does; None where no keys are trusted.
        peers: names of other runtimes to run the float model in (`bitwright.report.peers`).
        classes: names of the classes, in place of the artifact's.
        labels: how labels are matched with classes.
        limit: only so many images, the first ones.
        samples: so many of the images on which the two differ, at most.
        threads: for latency; None: all that this process may use.
        progress: hears how far the work is.

    Raises:
        LabelError, ModelError, SourceError: as `gates.outcomes.outcomes_of` does.
        EngineError: the native engine was not built.
    """
    threads = threads or int(machine()["processors"])
    rivals = [open_peer(name, model, artifact.preprocess, threads) for name in peers]
    torch_ = torch_run(model, threads)
    outcomes = outcomes_of(
        artifact,
        model,
        source,
        classes=classes,
        labels=labels,
        limit=limit,
        peers={peer.name: peer.predict for peer in rivals},
        progress=progress,
    )
    image = artifact.preprocess.normalise(np.zeros((1, *artifact.preprocess.shape), np.uint8))
    calls = {"bitwright": engine_call(artifact, threads), "float": lambda: torch_(image)}
    calls |= {peer.name: peer.call for peer in rivals}
    latencies = dict(zip(calls, undisturbed_turns(list(calls.values())), strict=True))
    agreement, drop = exact_interval(outcomes.agreed, len(outcomes)), outcomes.drop
    verdict = None if gates is None else _verdict(gates, artifact, path, outcomes, baseline, threads, signature)
    return Report(
        artifact=path,
        model=model_name,
        data=source.where,
        summary=model_summary(artifact, artifact.data),
        preprocess=preprocess,
        images=len(outcomes),
        left_out=tuple((bad.name, bad.reason) for bad in outcomes.bad),
        is_labelled=outcomes.labels is not None,
        drop=drop.points,
        drop_interval=drop.interval(),
        lost=drop.lost,
        gained=drop.gained,
        agreement_interval=(100 * agreement[0], 100 * agreement[1]),
        contenders=contenders_of(outcomes, _sizes(artifact, model, rivals), latencies),
        mcnemar_p=None if outcomes.labels is None else mcnemar(drop.lost, drop.gained),
        reliability=reliability_of(outcomes),
        classes=class_rows(outcomes),
        samples=samples_of(outcomes, artifact.preprocess, samples),
        disagreeing=len(outcomes) - outcomes.agreed,
        plan=plan_summary(artifact, threads),
        environment=environment(threads),
        signature=_signed(signature),
        remarks=(*filter(None, (outcomes.remark, outcomes.doubt)), *noise_remarks(latencies)),
        verdict=verdict,
        audit=audit,
        pareto_front=pareto_front,
        command=command,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def environment(threads: int) -> dict[str, str]:
    """What the figures depend on, by name."""
    found = machine()
    return {
        "processor": str(found["processor"]),
        "instruction set": str(found["isa"]),
        "threads": f"{threads} of {found['processors']}",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "Python": platform.python_version(),
        "versions": ", ".join(f"{name} {version(name)}" for name in ("bitwright", "torch", "numpy", "pillow")),
    }


def _sizes(artifact: Artifact, model: TorchModel, rivals: Sequence[Peer]) -> dict[str, int | None]:
    peers = {peer.name: peer.bytes for peer in rivals}
    return {"bitwright": len(artifact.data), "float": model.float_bytes, **peers}


def _verdict(
    gates: Gates,
    artifact: Artifact,
    path: str,
    outcomes: Outcomes,
    baseline: tuple[str, Artifact] | None,
    threads: int,
    signature: Signature | SignatureError | None,
) -> Verdict:
    name, other = baseline or (None, None)
    latency = race([other, artifact], threads)[1] if other is not None and "baseline" in gates.needs else None
    return judge(gates, artifact, path=path, outcomes=outcomes, latency=latency, baseline=name, signature=signature)


def _signed(signature: Signature | SignatureError | None) -> str:
    """What is known of who made an artifact, in words."""
    if signature is None:
        return "not verified: no keys were trusted (--trust), so the digest is all that tells the file"
    if isinstance(signature, SignatureError):
        return f"NOT VERIFIED: {signature}"
    return f"verified, by the key {signature.key}"
