"""Sweeps: trials on Ray's workers make what they make one after another here, and what is done is not done again."""

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import bitwright as bw
from bitwright.cli import main
from bitwright.errors import EngineError, SourceError, TrainingError
from bitwright.scale.cluster import HERE, cluster

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")
from bitwright.scale.sweep import sweep  # noqa: E402
from bitwright.scale.trials import Sweep, parse_numbers  # noqa: E402
from bitwright.training import Options  # noqa: E402
from tests.test_ranks import DESCRIBED, PREPROCESS, network  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # those of Ray
OPTIONS = Options(epochs=2, batch=32, augment=(), amp=False)
NUMBERS = {"lr": (0.02, 1e-7), "ema": (0.0, 0.5)}


def swept(folder: Path, address: str | None = None, **changes: Any) -> Sweep:
    source = bw.open_source("digits[!::5]")
    arguments = {"numbers": NUMBERS, "options": OPTIONS, "preprocess": PREPROCESS, "recipe": "w4a8", **changes}
    held_out = bw.open_source("digits[::5]").head(100)
    return sweep(network(), source.head(256), held_out, folder, address=address, **arguments)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sweep]:
    folder = tmp_path_factory.mktemp("here") / "trials"
    return folder, swept(folder)


def logits(artifact: bw.Artifact) -> bytes:
    pixels = next(iter(bw.open_source("digits[::5]").batches(PREPROCESS, 64))).images
    return bw.Engine(artifact, threads=1)(pixels).tobytes()


def results(found: Sweep) -> list[Any]:
    """All but where a trial was and how long it took."""
    return [(dict(t.numbers), t.top1, t.images, logits(bw.load(str(t.artifact)))) for t in found.trials]


def test_the_best_learned_most(here: tuple[Path, Sweep]) -> None:
    found = here[1]
    assert [dict(trial.numbers) for trial in found.trials] == [
        {"lr": 0.02, "ema": 0.0},
        {"lr": 0.02, "ema": 0.5},
        {"lr": 1e-7, "ema": 0.0},
        {"lr": 1e-7, "ema": 0.5},
    ]
    scores = [trial.top1 or 0 for trial in found.trials]
    assert found.best.top1 == max(scores) > scores[2] + 10
    assert found.best.numbers["lr"] == 0.02
    assert found.to_json()["best"] == found.trials.index(found.best)


def test_a_trial_makes_what_training_makes(here: tuple[Path, Sweep]) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        source, options = bw.open_source("digits[!::5]").head(256), replace(OPTIONS, lr=1e-7, ema=0.5)
        alone = bw.train(network(), source, preprocess=PREPROCESS, recipe="w4a8", options=options)
    finally:
        torch.set_num_threads(before)
    assert logits(alone) == logits(bw.load(str(here[1].trials[3].artifact)))


def test_what_is_done_is_not_done_again(here: tuple[Path, Sweep]) -> None:
    folder, found = here
    before = {entry: entry.stat().st_mtime_ns for entry in folder.iterdir()}
    assert swept(folder) == found
    fewer = swept(folder, numbers={"lr": (0.02,), "ema": (0.5,)})
    assert fewer.trials == found.trials[1:2]
    assert {entry: entry.stat().st_mtime_ns for entry in folder.iterdir()} == before


def test_a_folder_holds_the_trials_of_one_training(here: tuple[Path, Sweep]) -> None:
    with pytest.raises(SourceError, match=r"another training \(recipe differ\)"):
        swept(here[0], recipe="w8a8")
    with pytest.raises(SourceError, match=r"another training \(options, threads differ\)"):
        swept(here[0], options=Options(epochs=3), threads=2)


def test_classes_are_part_of_a_training(tmp_path: Path) -> None:
    numbers = {"lr": (1e30,)}
    swept(tmp_path, numbers=numbers, classes=[f"a{i}" for i in range(10)])
    with pytest.raises(SourceError, match=r"another training \(classes differ\)"):
        swept(tmp_path, numbers=numbers, classes=[f"b{i}" for i in range(10)])


@pytest.mark.parametrize("text", ["{", "[]", "3"])
def test_a_damaged_list_of_what_trials_share_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(SourceError, match=r"it is damaged|another training"):
        swept(tmp_path)


def test_a_folder_may_be_moved(here: tuple[Path, Sweep], tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(here[0], moved)
    assert {Path(str(trial.artifact)).parent for trial in swept(moved).trials} == {moved}


def test_where_trainings_start_is_told_by_its_contents(here: tuple[Path, Sweep], tmp_path: Path) -> None:
    ours, other = sorted(here[0].glob("*.ckpt"))[:2]
    moved, numbers = tmp_path / "moved", {"lr": (1e30,)}
    shutil.copy(ours, moved)
    assert "the loss is" in str(swept(tmp_path / "a", numbers=numbers, start=ours).trials[0].error)
    swept(tmp_path / "a", numbers=numbers, start=moved)
    with pytest.raises(SourceError, match=r"another training \(start differ\)"):
        swept(tmp_path / "a", numbers=numbers, start=other)
    with pytest.raises(TrainingError, match="not a checkpoint"):
        swept(tmp_path / "b", numbers=numbers, start=tmp_path / "nothing")


def test_the_order_of_numbers_does_not_matter(here: tuple[Path, Sweep]) -> None:
    found = swept(here[0], numbers=dict(reversed(NUMBERS.items())))
    assert {trial.artifact for trial in found.trials} == {trial.artifact for trial in here[1].trials}
    assert found.best.artifact == here[1].best.artifact


def test_numbers_come_once() -> None:
    with pytest.raises(TrainingError, match="weight_decay is given twice"):
        parse_numbers(["weight-decay=0", "weight_decay=0.1"])


def test_the_same_value_is_tried_once(tmp_path: Path) -> None:
    assert len(swept(tmp_path, numbers={"lr": (1e30, 1e30)}).trials) == 1
    with pytest.raises(TrainingError, match="expected numbers"):
        swept(tmp_path, numbers={})


def test_what_cannot_be_trained_is_told_and_the_others_are_trained(tmp_path: Path) -> None:
    found = swept(tmp_path, numbers={"lr": (1e30, 0.02)})
    assert found.best is found.trials[1]
    assert "the loss is" in str(found.trials[0].error)
    assert (tmp_path / "lr=0.02.json").exists()
    assert not (tmp_path / "lr=1e+30.json").exists()


def killed_once(killed: list[int]) -> None:
    """Kill the first worker that trains, when it has begun."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                mine = b"ray::ImplicitFunc" in path.read_bytes()
            except OSError:
                continue
            if mine:
                os.kill(int(path.parent.name), signal.SIGKILL)
                killed.append(int(path.parent.name))
                return
        time.sleep(0.01)


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    pytest.importorskip("ray", reason="needs ray: pip install 'bitwright[ray]'")
    with cluster() as module:
        yield module


def test_ray_makes_the_same_and_a_killed_worker_loses_no_trial(
    ray: Any, here: tuple[Path, Sweep], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed: list[int] = []
    killer = threading.Thread(target=killed_once, args=[killed])
    killer.start()
    found = swept(tmp_path / "trials", HERE)
    killer.join()
    assert len(killed) == 1
    assert results(found) == results(here[1])
    assert capsys.readouterr().out == ""  # Ray Tune's tables would stand in front of --json


def test_an_error_of_a_trial_comes_from_the_cluster(ray: Any, tmp_path: Path) -> None:
    found = swept(tmp_path / "trials", HERE, numbers={"lr": (1e30,)})
    assert "the loss is" in str(found.trials[0].error)
    with pytest.raises(TrainingError, match="no trial could be trained; lr=1e\\+30: the loss is"):
        found.to_json()


def test_more_threads_than_the_cluster_has(ray: Any, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="expected 1000 processors"):
        swept(tmp_path / "trials", HERE, threads=1000)


LINE = ["train", "tests.test_ranks:network", "--data", "digits[:128]", *DESCRIBED, "--recipe", "w4a8", "--epochs", "4"]
LINE += ["--batch", "32", "--augment", ""]


def test_the_command_line_keeps_the_best(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "m"
    swept = [
        *LINE,
        "--sweep",
        "lr=1e-7,0.02",
        "--held-out",
        "digits[128:228]",
        "--test",
        "digits[228:300]",
        "-o",
        str(out),
    ]
    assert main([*swept, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [trial["numbers"] for trial in record["sweep"]["trials"]] == [{"lr": 1e-7}, {"lr": 0.02}]
    best = record["sweep"]["trials"][record["sweep"]["best"]]
    assert logits(bw.load(out)) == logits(bw.load(best["artifact"]))
    assert record["training"]["options"]["lr"] == best["numbers"]["lr"]
    assert record["measured"]["images"] == 72
    assert main(swept) == 0
    printed = capsys.readouterr().out
    assert f"lr=0.02     top-1 {record['sweep']['trials'][1]['top1']:.2f} % of 100 held-out images" in printed
    assert {path.name for path in tmp_path.iterdir()} == {"m", "m.trials"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--ray"], "belong to --sweep"),
        (["--sweep", "lr=0.1"], "needs --held-out"),
        (["--sweep", "lr=0.1", "--held-out", "digits[:9]", "--resume", "run"], "leave out --resume"),
    ],
)
def test_options_that_do_not_fit_a_sweep(
    options: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*LINE, *options, "-o", str(tmp_path / "m")]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("lr=0.01,0.02", (0.01, 0.02)),
        ("batch=32", (32,)),
        ("freeze-bn=true,false", (True, False)),
        ("augment=crop+flip,mixup", (("crop", "flip"), ("mixup",))),
        ("optimizer=sgd,adamw", ("sgd", "adamw")),
    ],
)
def test_numbers_are_read(text: str, values: tuple[Any, ...]) -> None:
    (found,) = parse_numbers([text]).values()
    assert found == values


def test_a_word_is_called_no_number_and_none_is_no_augmentation() -> None:
    with pytest.raises(TrainingError, match="expected a number, found 'fast'"):
        parse_numbers(["lr=fast"])
    with pytest.raises(TrainingError, match=r"expected a whole number, found '0\.5'"):
        parse_numbers(["batch=0.5"])
    assert parse_numbers(["augment=none,crop"]) == {"augment": ((), ("crop",))}


@pytest.mark.parametrize("text", ["lr", "rate=1", "lr=fast", "lr=-1", "freeze_bn=1", "augment=spin", "batch=0.5"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(TrainingError):
        parse_numbers([text])
