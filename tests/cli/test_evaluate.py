"""`bitwright evaluate`: of artifacts and of float models."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.test_quantize import BAD, ORDER, RANDOM, RANDOM_WEIGHTS

ARTIFACT = ("evaluate", "m.bw.safetensors")
FLOAT = ("evaluate", "colours:net")


def test_an_artifact_beside_a_float_model(run: Run, project: Path):
    result = run(*ARTIFACT, "--data", "images", "--reference", "colours:net", "--per-class")
    size = (project / "m.bw.safetensors").stat().st_size
    assert (result.code, result.err) == (0, RANDOM_WEIGHTS.replace("--weights", "--reference-weights"))
    assert result.out == (
        "model        m.bw.safetensors\n"
        "data         images\n"
        "images       6\n"
        "top-1        100.00 %\n"
        "float top-1  100.00 %\n"
        "agreement    100.00 %\n"
        f"artifact     {size:,} bytes\n"
        "float model  96 bytes\n"
        "\n"
        "class  images  correct  percent\n"
        "blue        2        2   100.00\n"
        "green       2        2   100.00\n"
        "red         2        2   100.00\n"
    )


def test_wrong_labels_lower_the_figures(run: Run, project: Path):
    (project / "wrong.csv").write_text("path,label\nimages/red/0.png,2\nimages/red/1.png,0\nimages/blue/0.png,0\n")
    result = run(*ARTIFACT, "--data", "wrong.csv", "--json")
    assert (result.code, result.err) == (0, "")
    document = json.loads(result.out)
    assert document.pop("top1") == pytest.approx(200 / 3)
    assert document == {
        "model": "m.bw.safetensors",
        "data": "wrong.csv",
        "images": 3,
        "classes": 3,
        "labels_by": "index",
        "top5": None,
        "at_chance": False,
        "agreement": None,
        "reference_top1": None,
        "reference_top5": None,
        "reference_at_chance": None,
        "per_class": [{"name": "blue", "images": 2, "correct": 1}, {"name": "red", "images": 1, "correct": 1}],
        "confusion": [[0, 0, 1], [0, 2, 1], [2, 2, 1]],
        "artifact_bytes": (project / "m.bw.safetensors").stat().st_size,
        "float_bytes": None,
        "bad": [],
        "remarks": [],
    }


def test_a_float_model(run: Run):
    result = run(*FLOAT, "--data", "images", "--limit", 4)
    first = (
        "bitwright: warning: images: the images are sorted by class, and the first 4 are of 2 of the 3 classes only; "
    )
    assert result.code == 0
    assert result.err.startswith(RANDOM + first)
    assert result.err.endswith(ORDER[-60:])
    assert result.out == (
        "model        colours:net\ndata         images\nimages       4\ntop-1        100.00 %\nfloat model  96 bytes\n"
    )


def test_a_bad_image_is_left_out_and_reported(run: Run):
    result = run(*ARTIFACT, "--data", "mixed", "--no-labels", "--json")
    assert (result.code, result.err) == (0, BAD)
    document = json.loads(result.out)
    assert (document["images"], document["top1"]) == (1, None)
    assert document["bad"] == [{"name": "mixed/bad.png", "reason": BAD.partition("bad.png: ")[2].strip()}]
    strict = run(*ARTIFACT, "--data", "mixed", "--no-labels", "--strict")
    assert strict == (1, "", BAD.replace("warning: left out ", "error: "))
    table = run(*ARTIFACT, "--data", "mixed", "--labels", "none")
    assert "\nimages      1\nbad images  1\n" in table.out


def test_no_image_at_all_is_an_error(run: Run):
    result = run(*ARTIFACT, "--data", "mixed/bad.png", "--no-labels")
    assert result == (2, "", BAD + "bitwright: error: mixed/bad.png: none of the 1 images could be read\n")


def test_a_float_model_that_cannot_run_is_an_error(run: Run):
    result = run("evaluate", "colours:unknown", "--size", 8, "--mode", "L", "--data", "images")
    assert (result.code, result.out) == (2, "")
    error = result.err.splitlines()[-1]
    assert error.startswith("bitwright: error: the float model cannot run on these images: Given groups=1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [*ARTIFACT, "--size", "8"],
            "an artifact holds its weights, outputs and preprocessing; leave those options out",
        ),
        (
            [*ARTIFACT, "--weights", "w.pth"],
            "an artifact holds its weights, outputs and preprocessing; leave those options out",
        ),
        ([*ARTIFACT, "--reference-weights", "w.pth"], "--reference-weights needs --reference"),
        ([*ARTIFACT, "--limit", "0"], "Invalid value for '--limit': 0 is not in the range x>=1."),
        (["evaluate", "colours:unknown"], "nothing is known of this model's preprocessing; give --size"),
        ([*FLOAT, "--size", "8x8x8"], "Invalid value for '--size': '8x8x8' is not of the form N|HxW"),
        ([*FLOAT, "--resize", "big"], "Invalid value for '--resize': 'big' is not of the form N|HxW|none"),
        ([*FLOAT, "--mean", "0.5,x"], "Invalid value for '--mean': '0.5,x' is not of the form A,B,C"),
        ([*FLOAT, "--scale", "1/0"], "Invalid value for '--scale': '1/0' is not of the form X"),
        ([*FLOAT, "--background", "0.5,0,0"], "Invalid value for '--background': '0.5,0,0' is not of the form R,G,B"),
        ([*FLOAT, "--background", "0,0"], "preprocess: background must be three whole numbers in 0..255; found (0, 0)"),
        ([*FLOAT, "--mean", "1,2"], "preprocess: mean must be one number or 3, one per channel; found 2: (1.0, 2.0)"),
        (
            [*FLOAT, "--mode", "L"],
            "--mode L has 1 channel, and the model's own mean and std have 3; give --mean and --std as well",
        ),
        (
            [*FLOAT, "--mode", "L", "--mean", "0"],
            "--mode L has 1 channel, and the model's own std have 3; give --std as well",
        ),
        ([*FLOAT, "--std", "0"], "preprocess: std must be above 0; found 0.0"),
        ([*FLOAT, "--encoder", "dither"], "a float model sees the pixels, whatever the encoder; leave --encoder out"),
        ([*FLOAT, "--mode", "CMYK"], "Invalid value for '--mode': 'CMYK' is not one of 'RGB', 'BGR', 'L'."),
    ],
)
def test_options_that_make_no_sense_are_wrong_usage(arguments: list[str], message: str, run: Run):
    result = run(*arguments, "--data", "images")
    assert (result.code, result.out) == (2, "")
    assert f"\nError: {message}" in result.err
