"""The preprocessing in one line: what it says, where it comes from, and the warning where nobody gave mean and std."""

from pathlib import Path

import pytest

from bitwright.cli.preprocess_line import in_words
from bitwright.images.preprocess import Preprocess
from tests.cli.conftest import Run

IMAGENET = Preprocess(size=224, resize=256, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
UNKNOWN = ("colours:unknown", "--data", "images")


@pytest.mark.parametrize(
    ("preprocess", "said"),
    [
        (
            IMAGENET,
            "RGB, shorter side to 256 by bilinear, crop to 224x224, (pixel / 255 - 0.485,0.456,0.406) / 0.229,0.224,0.225",
        ),
        (
            Preprocess(size=(4, 6), resize=(4, 6), mode="BGR", scale=1, mean=128, interpolation="bicubic"),
            "BGR, stretched to 4x6 by bicubic, (pixel - 128) / 1",
        ),
        (
            Preprocess(size=4, resize=(5, 6), mode="L", scale=0.3, encoder="thermometer:3"),
            "L, stretched to 5x6 by bilinear, crop to 4x4, (pixel * 0.3 - 0) / 1, as bits by thermometer:3",
        ),
    ],
)
def test_everything_is_in_the_line(preprocess: Preprocess, said: str):
    assert in_words(preprocess) == said


def lines(err: str) -> list[str]:
    return [line for line in err.splitlines() if "preprocess: " in line or "mean" in line]


@pytest.mark.parametrize("command", ["quantize", "evaluate", "train", "search", "sensitivity"])
def test_every_command_that_uses_it_prints_it(command: str, run: Run, tmp_path: Path):
    output: list[object] = ["-o", tmp_path / "out.bw.safetensors"] if command in ("quantize", "train", "search") else []
    more: dict[str, list[object]] = {
        "search": ["--calibrate", 3, "--no-cache"],
        "sensitivity": ["--no-cache"],
        "train": ["--epochs", 0.1],
    }
    result = run(command, *UNKNOWN, "--size", 8, "--mean", "0,0,0.5", *output, *more.get(command, []))
    line, warning = lines(result.err)[:2]
    assert line == (
        "bitwright: preprocess: RGB, resized to cover 8x8 by bilinear, crop to 8x8, (pixel / 255 - 0,0,0.5) / 1; "
        "as given by --size, --mean"
    )
    assert warning.startswith("bitwright: warning: nobody gave the std that the model was trained with")


ARTIFACT = "m.bw.safetensors"


@pytest.mark.parametrize(
    "command",
    [
        ("classify", ARTIFACT, "images"),
        ("evaluate", ARTIFACT, "--data", "images"),
        ("audit", ARTIFACT, "--model", "colours:net", "--data", "images", "--parts", "decisions", "--no-timing"),
        ("check", ARTIFACT, "--gates", "told.toml", "--model", "colours:net", "--data", "images"),
        ("compare", ARTIFACT, ARTIFACT, "--data", "images", "--no-timing"),
    ],
    ids=lambda command: command[0],
)
def test_so_does_every_command_that_gives_images_to_an_artifact(command: tuple[str, ...], run: Run, project: Path):
    (project / "told.toml").write_text("min_agreement = 1\n")
    said = "RGB, resized to cover 8x8 by bilinear, crop to 8x8, (pixel / 255 - 0) / 1; from the artifact\n"
    which = [" of the first model", " of the second model"] if command[0] == "compare" else [""]
    assert run(*command).told == tuple(f"bitwright: preprocess{name}: {said}" for name in which)


@pytest.mark.parametrize(("given", "ends"), [(("--mean", 128), "-128 and -127"), (("--scale", 255), "0 and 65025")])
def test_an_input_unlike_any_that_models_are_trained_on_is_said(given: tuple[str, int], ends: str, run: Run):
    evaluate = ("evaluate", *UNKNOWN, "--size", 8)
    assert f"warning: black and white pixels become {ends}, which is unlike" in run(*evaluate, *given).err
    for usual in (("--mean", 128, "--scale", 1), ("--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")):
        assert "unlike" not in run(*evaluate, *usual).err


def test_it_warns_only_of_what_nobody_gave(run: Run):
    evaluate = ("evaluate", *UNKNOWN, "--size", 8)
    assert "warning: nobody gave the mean and std" in run(*evaluate).err
    assert "nobody" not in run(*evaluate, "--mean", 0, "--std", 1).err
    known = run("evaluate", "colours:net", "--data", "images", "--mean", 0.1).err
    assert "nobody" not in known
    assert "from colours:net.preprocess, but for --mean\n" in known
    assert "warning: the model is known to have been trained with --mean 0,0,0; other ones make other numbers" in known
    same = run("evaluate", "colours:net", "--data", "images", "--mean", 0)
    assert "known to have been trained" not in same.err


def test_a_model_of_one_channel_is_offered_grey(run: Run, project: Path, tmp_path: Path):
    (project / "grey.py").write_text(
        "from torch import nn\ndef net():\n    return nn.Sequential(nn.Conv2d(1, 2, 8), nn.Flatten(), nn.Linear(2, 3))\n"
    )
    given = ("grey:net", "--data", "images", "--size", 8, "--mean", 0, "--std", 1)
    for command in (("quantize", *given, "-o", tmp_path / "x"), ("evaluate", *given)):
        result = run(*command)
        assert result.code == 2
        assert "the model takes 1 channel and the images have 3: for grey images give --mode L" in result.err
        assert "--mode L" not in run(*command, "--mode", "L").err


def test_images_that_are_alike_are_said_on_stderr(run: Run, tmp_path: Path):
    result = run("quantize", "colours:net", "--data", "images[:1]", "-o", tmp_path / "x")
    assert result.code == 0
    assert "bitwright: warning: calibrated on a single image; ranges will fit no other images" in result.err
