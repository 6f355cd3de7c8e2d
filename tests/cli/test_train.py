"""`bitwright train`: its report, and what it leaves."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

import bitwright as bw
from bitwright.cli import main
from bitwright.cli.train import train
from bitwright.errors import TrainingError
from bitwright.scale.trials import parse_numbers
from bitwright.training import Options

ARGUMENTS = ["--data", "digits[:256]", "--test", "digits[256:320]", "--epochs", "1", "--batch", "64", "--size", "28"]


@pytest.fixture(autouse=True)
def the_same_networks() -> None:
    """Factories draw their weights: whether a network guesses better than chance must not depend on what ran before."""
    torch.manual_seed(0)


def test_train(tmp_path: Path, capsys) -> None:
    output = tmp_path / "digits.bw.safetensors"
    code = main(["train", "bitwright.zoo:mnist_lenet", *ARGUMENTS, "--recipe", "w4a8", "--json", "-o", str(output)])
    printed = capsys.readouterr()
    assert code == 1, printed.err
    assert "no better than guessing" in printed.err, "so little training teaches nothing: it is kept, but said"
    record = json.loads(printed.out)
    assert (record["training"]["images"], record["training"]["images_seen"]) == (256, 256)
    assert record["training"]["stages"] == ["w4a8"]
    assert record["measured"]["images"] == 64
    assert record["measured"]["reference"] == "bitwright.zoo:mnist_lenet"
    assert record["measured"] == bw.load(output).provenance["measured"]
    assert record["measured"]["bad"] == 0
    assert bw.load(output).digest == record["sha256"]
    assert "training: 100 %, w4a8, 256 images, loss " in printed.err


def test_training_stands_beside_calibration_alone(tmp_path: Path, capsys, data_dir: Path) -> None:
    weights = ["--weights", str(data_dir / "models" / "mnist-lenet.safetensors")]
    images = ["--data", "digits[:100]", "--test", "digits[100:300]", "--size", "28"]
    how = ["--epochs", "1", "--batch", "64", "--lr", "1e-9", "--recipe", "w8a8", "--recalibrate-bn", "0"]
    output = tmp_path / "digits.bw.safetensors"
    assert main(["train", "bitwright.zoo:mnist_lenet", *weights, *images, *how, "-o", str(output)]) == 0
    printed = capsys.readouterr()
    assert "trained on         100 images, in 2 steps of 64, " in printed.out, "not the 128 that two whole batches hold"
    assert "; training " in printed.out
    assert "bitwright quantize --recipe w8a8` needs no training" in printed.err, "with that lr nothing is learned"


def test_a_student_is_compared_with_its_teacher(tmp_path: Path, capsys) -> None:
    output = tmp_path / "digits.bw.safetensors"
    arguments = [
        "train",
        "bitwright.zoo:cifar_react20",
        "--size",
        "32",
        "--data",
        "digits[:64]",
        "--test",
        "digits[64:96]",
    ]
    teacher = [
        "--teacher",
        "bitwright.zoo:cifar_resnet20_proj",
        "--distill",
        "0.5",
        "--epochs",
        "0.1",
        "--recipe",
        "w1a1",
    ]
    assert main([*arguments, *teacher, "-o", str(output)]) == 1, "it only guesses"
    assert "bitwright.zoo:cifar_resnet20_proj in float" in capsys.readouterr().out
    assert bw.load(output).provenance["measured"]["reference"] == "bitwright.zoo:cifar_resnet20_proj"


def test_where_there_is_no_folder(tmp_path: Path, capsys) -> None:
    code = main(["train", "bitwright.zoo:mnist_lenet", *ARGUMENTS, "-o", str(tmp_path / "no" / "file")])
    assert code == 2
    assert "there is no folder" in capsys.readouterr().err


def test_a_teacher_is_recorded_and_takes_part(tmp_path: Path, capsys) -> None:
    digests = []
    for more in ([], ["--distill", "0.5", "--teacher", "bitwright.zoo:mnist_lenet"]):
        output = tmp_path / f"{len(more)}.bw.safetensors"
        assert main(["train", "bitwright.zoo:mnist_lenet", *ARGUMENTS[:-2], *more, "--json", "-o", str(output)]) == 1
        digests.append(json.loads(capsys.readouterr().out)["sha256"])
    assert digests[0] != digests[1]
    assert bw.load(output).provenance["teacher"] == {"spec": "bitwright.zoo:mnist_lenet"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--teacher", "bitwright.zoo:mnist_lenet"], "no part in the loss: give its share with --distill"),
        (["--teacher", "bitwright.zoo:cifar_resnet20", "--distill", "0.5"], "takes other images than the model"),
    ],
)
def test_a_teacher_that_cannot_teach(tmp_path: Path, capsys, more: list[str], message: str) -> None:
    output = tmp_path / "digits.bw.safetensors"
    assert main(["train", "bitwright.zoo:mnist_lenet", *ARGUMENTS[:-2], *more, "-o", str(output)]) == 2
    assert message in capsys.readouterr().err
    assert not output.exists()


def test_every_number_of_a_training_is_an_option_and_can_be_swept() -> None:
    options = {parameter.name for parameter in train.params}
    names = [field.name for field in fields(Options)]
    assert options.issuperset(names)
    with pytest.raises(TrainingError, match=", ".join(names).replace("_", "-") + r"; found 'warm-up=1'; did you mean"):
        parse_numbers(["warm-up=1"])


@pytest.mark.parametrize(("values", "expected", "code"), [("0,0.5", "it began", 1), ("0,0", "no part in the loss", 2)])
def test_a_teacher_takes_part_where_a_trial_distils(
    tmp_path: Path, capsys, values: str, expected: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begun(*_: Any, teacher: Any, **__: Any) -> None:
        assert teacher is not None
        raise TrainingError("it began")

    monkeypatch.setattr("bitwright.scale.sweep.sweep", begun)
    more = ["--teacher", "bitwright.zoo:mnist_lenet", "--sweep", f"distill={values}", "--held-out", "digits[320:]"]
    output = tmp_path / "o.bw.safetensors"
    assert main(["train", "bitwright.zoo:mnist_lenet", *ARGUMENTS[:-2], *more, "-o", str(output)]) == code
    assert expected in capsys.readouterr().err
