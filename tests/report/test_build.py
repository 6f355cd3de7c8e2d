"""Every figure of a report is the one that the other commands give; and it stands on the page."""

import base64
import io
import sys
from dataclasses import replace
from typing import NoReturn

import numpy as np
import pytest
from PIL import Image

from bitwright.artifact import Artifact
from bitwright.budget.race import Latency
from bitwright.chance import exact_interval
from bitwright.errors import ModelError
from bitwright.evaluation import evaluate
from bitwright.gates import Gates
from bitwright.gates.outcomes import outcomes_of
from bitwright.images.sources import ImageSource
from bitwright.models.float_models import TorchModel
from bitwright.report import Report, render
from bitwright.report.build import build
from bitwright.report.contenders import contenders_of, noise_remarks
from bitwright.report.peers import PEERS, open_peer
from bitwright.summary import model_summary, plan_summary
from tests.report.test_render import Parsed

TWO = ("bitwright", "float")


def test_accuracy_is_that_of_evaluate(report: Report, artifact: Artifact, net: TorchModel, source: ImageSource):
    found = evaluate(artifact, source, reference=net.module)
    ours, theirs = report.integer, report.float_
    assert found.top1 is not None
    assert found.reference_top1 is not None
    assert found.agreement is not None
    assert 0 < found.agreement < 100
    assert (report.images, ours.top1, ours.top5, ours.agreement) == (
        found.images,
        found.top1,
        found.top5,
        found.agreement,
    )
    assert (theirs.top1, theirs.top5, theirs.agreement) == (found.reference_top1, found.reference_top5, 100)
    assert report.drop == pytest.approx(found.reference_top1 - found.top1)
    assert report.disagreeing == round(found.images * (1 - found.agreement / 100))
    ends = exact_interval(round(found.images * found.top1 / 100), found.images)
    assert ours.top1_interval == tuple(100 * end for end in ends)
    assert [(c.name, c.images, c.integer_right) for c in report.classes] == [
        (c.name, c.images, c.correct) for c in found.per_class
    ]
    text = Parsed(render(report)).text
    for figure in (found.top1, found.reference_top1, found.agreement):
        assert f" {figure:.2f} " in text
    for c in found.per_class:
        assert f"{c.name} {c.images} " in text
        assert f" {100 * c.correct / c.images:.2f} " in text


def test_layers_and_kernels_are_those_of_inspect(report: Report, artifact: Artifact):
    assert report.summary == model_summary(artifact, artifact.data)
    planned = plan_summary(artifact, 1)
    kernels = [(s.name, s.op, s.kernel, s.isa, s.macs, s.bytes) for s in report.plan.steps]
    assert kernels == [(s.name, s.op, s.kernel, s.isa, s.macs, s.bytes) for s in planned.steps]
    text = Parsed(render(report)).text
    assert f"{len(artifact.data):,} bytes" in text
    assert artifact.digest in text
    for s in report.plan.steps:
        assert f"{s.name} {s.op} {s.kernel} {s.isa} {s.time_us:.1f} {s.percent_of_time:.1f}" in text
    for layer in report.summary.layers:
        shape = " \u00d7 ".join(map(str, layer.shape))
        assert f"{layer.name} {layer.op} {shape}" in text


def test_bytes_and_latency(report: Report, artifact: Artifact, net: TorchModel):
    assert report.integer.bytes == len(artifact.data)
    assert report.float_.bytes == net.float_bytes
    for contender in report.contenders:
        assert contender.median_ms is not None
        assert contender.median_ms > 0
    assert report.integer.ratio == 1
    assert report.float_.ratio is not None
    assert f" {report.float_.ratio:.1f} \u00d7 as fast" in Parsed(render(report)).text


def test_a_latency_that_was_disturbed_is_said():
    quiet, busy = Latency(1.2, 1.0, 1.0), Latency(67.4, 3.1, 56.0)
    assert noise_remarks({"bitwright": quiet, "OpenVINO, float32": quiet}) == ()
    assert [quiet.is_disturbed, busy.is_disturbed] == [False, True]
    (remark,) = noise_remarks({"bitwright": quiet, "float": busy})
    assert remark.startswith(
        "latency of PyTorch, float32: the median is 67.4 ms and the least 3.1 ms; something else ran on"
    )


@pytest.mark.parametrize(("busy", "ratios"), [("float", [1.0, None]), ("bitwright", [None, None])])
def test_no_ratio_is_shown_of_what_was_disturbed(report: Report, artifact, net, source, busy: str, ratios: list):
    outcomes = outcomes_of(artifact, net, source, limit=20)
    latencies = {
        name: Latency(67.4 if name == busy else 1.2, 1.0, 1.0 if name == "bitwright" else 56.0, (1.0, 60.0))
        for name in TWO
    }
    found = contenders_of(outcomes, {}, latencies)
    assert [c.ratio for c in found] == ratios
    assert [c.is_disturbed for c in found] == [name == busy for name in TWO]
    text = Parsed(render(replace(report, contenders=found))).text
    assert "disturbed : no ratio to PyTorch" in text
    assert "disturbed 67.400" in text
    assert "as fast as PyTorch" not in text


def test_samples_are_the_surest_of_what_differs(report: Report, artifact: Artifact, source: ImageSource):
    assert 0 < len(report.samples) == min(24, report.disagreeing)
    for sample in report.samples:
        assert sample.float_class != sample.integer_class
        expected = {"lost": sample.float_class, "gained": sample.integer_class}.get(sample.kind)
        assert sample.label == expected or (
            expected is None and sample.label not in (sample.float_class, sample.integer_class)
        )
        assert sample.picture.startswith("data:image/webp;base64,")
    sure = [sample.float_confidence * sample.integer_confidence for sample in report.samples]
    assert sure == sorted(sure, reverse=True)


def test_without_labels(artifact: Artifact, net: TorchModel, source: ImageSource):
    found = build(artifact, net, source, labels="none", limit=50, threads=1)
    assert not found.is_labelled
    assert found.integer.top1 is None
    text = Parsed(render(found)).text
    assert "The images have no labels." in text
    assert "Accuracy, %" not in text
    assert f"{found.integer.agreement:.2f} % " in text


def test_a_gate_on_latency_races_the_baseline(artifact: Artifact, net: TorchModel, source: ImageSource):
    gates = Gates.parse("max_latency_ratio = 50")
    found = build(artifact, net, source, gates=gates, baseline=("old", artifact), limit=5, threads=1)
    assert found.verdict is not None
    assert found.verdict.passed
    assert "times old's latency" in found.verdict.findings[0].reason


@pytest.mark.parametrize(
    ("name", "label"), [("onnxruntime", "ONNX Runtime, float32"), ("openvino", "OpenVINO, float32")]
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_peer_runs_the_float_model_on_the_same_images(artifact, net, source, name, label):
    pytest.importorskip(name)
    pytest.importorskip("onnx")
    found = build(artifact, net, source, peers=[name], limit=100, threads=1)
    peer = found.contenders[2]
    assert (peer.name, peer.kind) == (label, "peer")
    assert peer.agreement == 100
    assert peer.top1 == found.float_.top1
    assert (peer.bytes or 0) > net.float_bytes
    assert label in Parsed(render(found)).text


def test_a_peer_that_is_none_is_named_with_the_nearest(artifact: Artifact, net: TorchModel):
    with pytest.raises(ModelError, match=r"expected a peer of onnxruntime, openvino, found 'onxruntime'; did you mean"):
        open_peer("onxruntime", net, artifact.preprocess, 1)


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_a_peer_that_is_not_installed_is_said(artifact: Artifact, net: TorchModel, monkeypatch, missing: str):
    monkeypatch.setitem(sys.modules, missing, None)
    if missing != "onnx":
        monkeypatch.setitem(sys.modules, "onnx", sys)  # whatever is installed here
    with pytest.raises(
        ModelError, match=rf", {missing} has to be installed: pip install 'bitwright\[peers\]'; or leave out"
    ):
        open_peer("onnxruntime", net, artifact.preprocess, 1)


def test_a_picture_is_what_the_model_sees(report: Report, artifact: Artifact, source: ImageSource):
    sample = report.samples[0]
    index = int(sample.name.split()[0])
    with Image.open(io.BytesIO(base64.b64decode(sample.picture.partition(",")[2]))) as picture:
        np.testing.assert_array_equal(np.asarray(picture), artifact.preprocess.apply(source.read(index)))


@pytest.mark.parametrize(
    ("error", "said"), [(RuntimeError("no such op\nand more"), "no such op"), (KeyError(), "KeyError")]
)
def test_a_peers_own_error_is_told_in_a_line(
    artifact: Artifact, net: TorchModel, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
):
    def refuses(*_: object) -> NoReturn:
        raise error

    monkeypatch.setitem(sys.modules, "onnx", sys)  # whatever is installed here
    monkeypatch.setitem(PEERS, "other", ("json", refuses, "Other"))
    with pytest.raises(ModelError, match=f"^other does not take this model: {said}$"):
        open_peer("other", net, artifact.preprocess, 1)
