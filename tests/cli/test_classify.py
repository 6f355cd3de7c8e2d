"""`bitwright classify`."""

import json
from pathlib import Path

import pytest

from bitwright.cli.classify import _softmax_percent
from bitwright.errors import EngineError
from tests.cli.conftest import Run
from tests.cli.test_quantize import BAD

CLASSIFY = ("classify", "m.bw.safetensors")
ERROR = BAD.replace("warning: left out ", "error: ")


def test_the_best_classes_of_each_image(run: Run):
    result = run(*CLASSIFY, "images/red/0.png", "images/green/1.png", "--top", 2)
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "image               percent  class\n"
        "images/red/0.png      99.93  red\n"
        "                       0.03  blue\n"
        "images/green/1.png    99.93  green\n"
        "                       0.03  blue\n"
    )


def test_more_classes_than_there_are(run: Run):
    result = run(*CLASSIFY, "images/blue/0.png", "--top", 100, "--json")
    assert (result.code, result.err) == (0, "")
    document = json.loads(result.out)
    assert document["artifact"] == "m.bw.safetensors"
    [image] = document["images"]
    assert (image["path"], image["error"]) == ("images/blue/0.png", None)
    assert [(guess["index"], guess["name"]) for guess in image["top"]] == [(0, "blue"), (1, "green"), (2, "red")]
    assert sum(guess["percent"] for guess in image["top"]) == pytest.approx(100, abs=0.001)


def test_a_bad_image_is_reported_and_the_others_are_classified(run: Run):
    result = run(*CLASSIFY, "mixed/bad.png", "nowhere.png", "mixed/good.png", "--top", 1)
    assert result == (
        1,
        "image           percent  class\nmixed/good.png    99.93  red\n",
        ERROR + "bitwright: error: nowhere.png: No such file or directory\n",
    )
    document = json.loads(run(*CLASSIFY, "mixed/bad.png", "mixed/good.png", "--json").out)
    bad, good = document["images"]
    assert (bad["path"], bad["top"]) == ("mixed/bad.png", [])
    assert bad["error"] == ERROR.removeprefix("bitwright: error: ").strip()
    assert good["error"] is None


def test_when_all_are_bad_nothing_is_printed(run: Run):
    assert run(*CLASSIFY, "mixed/bad.png") == (1, "", ERROR)


def test_no_image_is_wrong_usage(run: Run):
    result = run(*CLASSIFY)
    assert (result.code, result.out) == (2, "")
    assert "Missing argument 'IMAGE...'" in result.err


def test_an_artifact_that_is_none(run: Run, tmp_path: Path):
    assert run("classify", "none", "mixed/good.png") == (
        1,
        "",
        "bitwright: error: cannot read none: No such file or directory\n",
    )


def test_logits_that_are_not_finite_are_an_error():
    import numpy as np

    with pytest.raises(EngineError, match="not finite"):
        _softmax_percent(np.array([0, np.inf], np.float32))
    assert _softmax_percent(np.array([1e4, 0], np.float32)).tolist() == [100.0, 0.0]
