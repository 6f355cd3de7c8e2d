"""`train`: it learns, it stops by the clock, and a run that was interrupted ends as one that was not, to the bit."""

import itertools
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import bitwright as bw
from bitwright.errors import LabelError, ModelError, TrainingError
from bitwright.training import Options, checkpoint
from bitwright.training.interrupts import held_back
from bitwright.training.loop import Loop, Passed
from bitwright.training.teacher import Teacher
from tests.progress import Heard

PREPROCESS = bw.Preprocess(size=8, mean=0.5, std=0.25, mode="L")
OPTIONS = Options(epochs=2, batch=32, lr=0.05, augment=("crop",), recalibrate_bn=2, ema=0.9, distill=0.3)


class Stop(Exception):
    pass


def network() -> nn.Module:
    torch.manual_seed(0)
    body = [
        nn.Conv2d(1, 8, 3, 1, 1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, 2, 1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
    ]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)).eval()


def passed(heard: Heard) -> list[Passed]:
    return [details for details in heard.details if isinstance(details, Passed)]


def run(count: int = 320, **arguments) -> bw.Artifact:
    """What training makes, but for how long it took: a busy machine takes longer."""
    source = bw.open_source(f"digits[:{count}]")
    artifact = bw.train(network(), source, **{"options": OPTIONS, "preprocess": PREPROCESS, **arguments})
    record = {**artifact.provenance["training"], "minutes": 0.0}
    return replace(artifact, provenance={**artifact.provenance, "training": record})


def test_training_lowers_the_loss() -> None:
    heard = Heard()
    options = Options(epochs=12, batch=32, optimizer="adamw", lr=0.03, augment=(), recalibrate_bn=5)
    artifact = run(640, recipe="w4a4", options=options, progress=heard)
    assert passed(heard)[-1].loss < 0.7 * passed(heard)[0].loss
    assert passed(heard)[-1].share == 1.0
    accuracy = bw.evaluate(artifact, bw.open_source("digits[:640]")).top1
    assert accuracy is not None
    assert accuracy > 50


def test_a_float_model_that_only_guesses_is_said_before_training() -> None:
    heard = Heard()
    run(options=replace(OPTIONS, epochs=0.05), progress=heard)
    (said,) = (text for text in heard.said if "are labels, mean and std right?" in text)
    assert said.startswith("warning: the float model itself is right on")


@pytest.mark.parametrize("recipe", ["w4a4", ["w4a8", "w1a1"]], ids=["one stage", "two stages"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_resumed_run_ends_the_same(recipe, optimizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitwright.training.loop.SAVE_EVERY_S", 0.0)
    options, whole, parts = replace(OPTIONS, optimizer=optimizer), tmp_path / "whole", tmp_path / "parts"
    expected = run(recipe=recipe, options=options, resume=whole)
    from bitwright.training import loop

    step, calls = loop.Loop._step, 0

    def interrupted(self, *arguments):
        nonlocal calls
        calls += 1
        if calls == 13:
            raise Stop
        return step(self, *arguments)

    monkeypatch.setattr(loop.Loop, "_step", interrupted)
    with pytest.raises(Stop):
        run(recipe=recipe, options=options, resume=parts)
    found = run(recipe=recipe, options=options, resume=parts)
    assert calls > 13
    for name, node in {node.name: node for node in expected.graph.nodes}.items():
        for key, tensor in node.tensors.items():
            assert np.array_equal(tensor, found.graph[name].tensors[key]), f"{name}.{key}"


def test_seed_stage_step_and_rank_draw_differently() -> None:
    """In the 32 bits that torch's generator heeds."""
    from bitwright.training.loop import Loop
    from bitwright.training.pixels import Pixels

    drawn = set()
    for seed in (0, 1, 2**16 - 1):
        pixels = Pixels(bw.open_source("digits[:64]"), PREPROCESS)
        loop = Loop(replace(OPTIONS, seed=seed), pixels, torch.device("cpu"), None, None, Heard(), ("w4a4",))
        for stage, step, rank in ((0, 0, 0), (0, 1, 0), (0, -1, 0), (1, 0, 0), (0, 0, 1), (1, 0, 1)):
            generator = torch.Generator().manual_seed(loop._seed(stage, step, rank))
            drawn.add(tuple(torch.randperm(20, generator=generator).tolist()))
    assert len(drawn) == 18


def test_a_checkpoint_of_another_run(tmp_path: Path) -> None:
    run(resume=tmp_path / "run")
    with pytest.raises(TrainingError, match="with other options"):
        run(resume=tmp_path / "run", options=replace(OPTIONS, lr=0.01))
    (tmp_path / "run").write_bytes(b"no checkpoint")
    with pytest.raises(TrainingError, match="is not a checkpoint"):
        run(resume=tmp_path / "run")


def test_a_checkpoint_of_another_model(tmp_path: Path) -> None:
    """Images, options and recipe are the same."""
    little = replace(OPTIONS, epochs=0.2)
    run(96, resume=tmp_path / "run", options=little)
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)).eval()
    with pytest.raises(TrainingError, match="is of another model or recipe"):
        bw.train(other, bw.open_source("digits[:96]"), preprocess=PREPROCESS, options=little, resume=tmp_path / "run")


def test_a_run_starts_from_what_another_learned(tmp_path: Path) -> None:
    first = Options(epochs=12, batch=32, optimizer="adamw", lr=0.01, augment=(), recalibrate_bn=5)
    run(640, recipe="w4a4", options=first, resume=tmp_path / "run")
    little = replace(first, epochs=0.1, lr=1e-6)
    for recipe in ("w4a4", "w8a8"):
        runs = [run(640, recipe=recipe, options=little, start=start) for start in (None, tmp_path / "run")]
        cold, warm = (bw.evaluate(artifact, bw.open_source("digits[:640]")).top1 or 0.0 for artifact in runs)
        assert warm > cold + 20, recipe


def test_a_start_that_does_not_fit(tmp_path: Path) -> None:
    run(resume=tmp_path / "run")
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    with pytest.raises(TrainingError, match="is of another model"):
        bw.train(other, bw.open_source("digits[:96]"), preprocess=PREPROCESS, start=tmp_path / "run")
    with pytest.raises(TrainingError, match="is not a checkpoint"):
        run(start=tmp_path / "nothing")


def test_minutes_end_a_run() -> None:
    heard = Heard()
    run(options=replace(OPTIONS, epochs=10_000, minutes=0.01), progress=heard)
    assert passed(heard)[-1].share == 1.0
    assert passed(heard)[-1].images < 320 * 10_000


def test_every_augmentation_and_feature_distillation() -> None:
    augment = ("crop", "flip", "randaugment", "mixup", "cutmix")
    options = replace(OPTIONS, epochs=1, augment=augment, features=1.0, label_smoothing=0.1, freeze_bn=True, amp=False)
    heard = Heard()
    artifact = run(96, options=options, training="ste", progress=heard)
    assert np.isfinite(passed(heard)[-1].loss)
    assert artifact.provenance["training"]["algorithm"] == "ste"


@pytest.mark.parametrize("encoder", ["thermometer:3", "dither"])
def test_images_of_bits(encoder: str) -> None:
    """Trained with a teacher that sees the pixels; what comes out reads bits."""
    options = replace(OPTIONS, augment=("crop", "mixup"), features=0.5)
    artifact = run(96, recipe="w4a4", options=options, preprocess=replace(PREPROCESS, encoder=encoder))
    assert artifact.preprocess.encoder == encoder
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), np.uint8)
    logits = [bw.Engine(artifact, backend=backend)(images) for backend in ("native", "reference")]
    assert logits[0].tobytes() == logits[1].tobytes()
    assert np.ptp(logits[0]) > 0


def test_a_teacher_of_another_kind_has_no_features() -> None:
    with pytest.raises(TrainingError, match="leave out the teacher"):
        run(64, options=replace(OPTIONS, features=1.0), teacher=network())


def test_training_needs_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "images.npz", images=np.zeros((4, 8, 8), np.uint8))
    with pytest.raises(TrainingError, match="training needs labels"):
        bw.train(network(), bw.open_source(tmp_path / "images.npz"), preprocess=PREPROCESS)


NUMBERS = [field for field in fields(Options) if isinstance(field.default, float) or field.name == "minutes"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("optimizer", "adam", "among sgd, adamw"),
        ("augment", ("blur",), "blur"),
        ("lr", 0.0, "lr above 0"),
        ("weight_decay", -1.0, "weight_decay of 0 or more"),
        *((field.name, value, f"{field.name} to be a finite number") for field in NUMBERS for value in (nan, inf)),
    ],
)
def test_options_that_make_no_sense(field: str, value, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        replace(OPTIONS, **{field: value})


def test_labels_that_do_not_fit_stop_before_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    from bitwright.training import loop

    monkeypatch.setattr(loop.Loop, "_step", None)
    source = bw.open_source("digits[:96]")
    assert source.labels is not None
    for labels, classes in ((source.labels + 5, None), (source.labels % 3, ("a", "b", "c"))):
        wrong = replace(source, labels=labels, classes=classes)
        with pytest.raises(LabelError, match="digits"):
            bw.train(network(), wrong, preprocess=PREPROCESS, options=OPTIONS)


def test_one_logit_learns_two_classes() -> None:
    source = bw.open_source("digits[:640]")
    assert source.labels is not None
    binary = replace(source.subset(np.flatnonzero(source.labels < 2)), classes=("zero", "one"))
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 1)).eval()
    options = Options(epochs=20, batch=32, lr=0.005, augment=(), distill=0.1)
    artifact = bw.train(model, binary, preprocess=PREPROCESS, recipe="w8a8", options=options)
    found = bw.evaluate(artifact, binary)
    assert artifact.classes == ("zero", "one")
    assert found.top1 is not None
    assert found.top1 > 95


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 5)), "the teacher has 5 classes and the model 10"),
        (nn.Sequential(nn.Flatten(), nn.Linear(63, 10)), "cannot run on these images"),
        (nn.Conv2d(1, 10, 3), r"found float32 \[2, 10, 6, 6\]"),
        (nn.Linear, "found the class Linear"),
        ("teacher.pt", "found 'teacher.pt'"),
    ],
)
def test_a_teacher_that_does_not_fit_stops_before_the_first_step(
    teacher, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bitwright.training.trainer.calibrate", None)
    with pytest.raises(ModelError, match=message):
        run(64, teacher=teacher)


@pytest.mark.parametrize("tail", [nn.Softmax(1), nn.LogSoftmax(1)])
def test_a_teacher_may_end_in_a_softmax(tail: nn.Module) -> None:
    teacher, x = network(), torch.randn(16, 1, 8, 8)
    found = Teacher(nn.Sequential(teacher, tail), 10, PREPROCESS, torch.device("cpu"))
    with torch.no_grad():
        assert torch.allclose(found(x).softmax(1), teacher(x).softmax(1), atol=1e-6)
        assert torch.equal(Teacher(teacher, 10, PREPROCESS, torch.device("cpu"))(x), teacher(x))


def test_each_stage_has_its_own_recipe() -> None:
    """The last one's is what the artifact is made by, and the algorithm is that of the recipe too."""
    options = replace(OPTIONS, epochs=0.2, recalibrate_bn=0)
    for recipe, weights, read in ((["w8a8", "w2a4"], "int2", "uint4"), (["w2a4", "w8a8"], "int8", "uint8")):
        heard = Heard()
        graph = run(96, recipe=recipe, options=options, progress=heard).graph
        middle = [node for node in graph.nodes if node.op == "conv2d"][1]
        type_ = graph.values[middle.inputs[0]].type
        assert type_ is not None
        assert (middle.attrs["weights"], type_.scheme) == (weights, read)


@contextmanager
def heard_by(handler: Any) -> Iterator[None]:
    """Ctrl-C as the test wants it: what a shell starts in the background finds it ignored."""
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_control_c_saves_the_run_between_two_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = tmp_path / "run"
    with monkeypatch.context() as patch, heard_by(signal.default_int_handler):
        steps = itertools.count()
        whole = Loop._set_lr

        def pressed(self: Loop, *arguments: Any) -> float:
            if next(steps) == 3:
                os.kill(os.getpid(), signal.SIGINT)
            return whole(self, *arguments)

        patch.setattr(Loop, "_set_lr", pressed)
        with pytest.raises(KeyboardInterrupt):
            run(96, resume=saved)
    assert checkpoint.read_record(saved)["step"] == 4
    assert run(96, resume=saved).data == run(96, resume=tmp_path / "other").data


def test_control_c_that_is_ignored_stays_so() -> None:
    with heard_by(signal.SIG_IGN):
        with held_back() as interrupts:
            os.kill(os.getpid(), signal.SIGINT)
        assert not interrupts.asked
