"""`bitwright quantize`: what it prints, what it writes, and what stops it."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bitwright.artifact import load
from bitwright.records import correction_words
from tests.cli.conftest import QUANTIZE, Run

RANDOM_WEIGHTS = (
    "bitwright: warning: no --weights were given, so the weights of colours:net are those that it was made with, "
    "perhaps random\n"
)
NAMED = "bitwright: class names taken from images in its order: blue, green, red\n"
ORDER = (
    "bitwright: warning: the model's classes have no names: the 3 of images are taken in its order (blue, green, red)\n"
)
LINE = "RGB, resized to cover 8x8 by bilinear, crop to 8x8, (pixel / 255 - 0) / 1"
PREPROCESS = f"bitwright: preprocess: {LINE}; from colours:net.preprocess\n"
RANDOM = RANDOM_WEIGHTS + PREPROCESS
ALIKE = (
    "bitwright: warning: calibrated on a single image; ranges will fit no other images: use some hundred varied ones\n"
    "bitwright: warning: calibrated on images of one colour: 1 of 1 have no two different pixels; ranges will fit no other "
    "images: use some hundred varied ones\n"
)
BAD = (
    "bitwright: warning: left out mixed/bad.png: not an image of a known format; "
    "expected one of JPEG, PNG, GIF, BMP, PPM, WEBP, TIFF, JPEG2000\n"
)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.bw.safetensors"


def test_it_prints_what_it_did(run: Run, out: Path):
    result = run(*QUANTIZE, "--calibrate", 4, "--range", "minmax", "--test", "images", "-o", out)
    size, calibration = out.stat().st_size, load(out).provenance["calibration"]
    told = [correction_words(record) for record in calibration["corrections"]]
    assert [text.split()[0] for text in told] == ["equalize", "bias_correct"]
    assert result.code == 0
    assert result.err == RANDOM + NAMED
    assert result.out == (
        "model          colours:net\n"
        "recipe         w8a8, ranges by minmax\n"
        "calibrated on  4 images of images, seed 0\n"
        f"corrections    {'; '.join(told)}; measured on the {calibration['judged_on']['images']} images they saw "
        "(dB: SQNR of the logits, more is better; nats: KL divergence from the float model's classes, less is better)\n"
        "layers         4\n"
        "weights        2 int8\n"
        "activations    1 float32, 3 uint8\n"
        "float model    96 bytes\n"
        f"artifact       {size:,} bytes, {100 * size / 96:.2f} % of that\n"
        "tested on      6 images of images\n"
        "top-1          100.00 %, float 100.00 %\n"
        "agreement      100.00 %\n"
        f"written to     {out}\n"
        f"sha256         {hashlib.sha256(out.read_bytes()).hexdigest()}\n"
    )


def test_json_is_the_same_as_one_document(run: Run, out: Path):
    result = run(*QUANTIZE, "--recipe", "w4a6", "--seed", 7, "--json", "-o", out)
    assert result.code == 0
    document = json.loads(result.out)
    artifact = load(out)
    assert document == {
        "artifact": str(out),
        "sha256": artifact.digest,
        "bytes": out.stat().st_size,
        "float_bytes": 96,
        "layers": 4,
        "encoder": None,
        "weights": {"int8": 2},
        "activations": {"float32": 1, "uint6": 1, "uint8": 2},  # uint8 is what the last layer reads
        "images": 6,
        "bad": [],
        "measured": None,
        "provenance": json.loads(json.dumps(dict(artifact.provenance))),
    }
    assert document["provenance"]["seed"] == 7
    assert document["provenance"]["recipe"]["name"] == "w4a6"


def test_an_encoder_turns_the_image_into_bits(run: Run, project: Path, out: Path):
    result = run(*QUANTIZE, "--encoder", "bitplanes", "--test", "images", "-o", out)
    line = f"{LINE}, as bits by bitplanes:8; from colours:net.preprocess, but for --encoder"
    assert (result.code, result.err) == (0, RANDOM_WEIGHTS + f"bitwright: preprocess: {line}\n" + NAMED)
    assert "\nencoder        bitplanes:8\n" in result.out
    assert "\ntop-1          100.00 %, float 100.00 %\n" in result.out
    assert load(out).preprocess.encoder == "bitplanes:8"
    shown = run("inspect", out)
    assert "preprocess.encoder" in shown.out
    assert "bitplanes:8" in shown.out
    Image.fromarray(np.full((20, 30, 3), (250, 6, 6), np.uint8)).save(out.parent / "red.jpg", quality=95)
    document = json.loads(run("classify", out, out.parent / "red.jpg", "--json").out)
    assert document["images"][0]["top"][0]["name"] == "red"
    assert run("evaluate", out, "--data", "images", "--json").code == 0
    assert json.loads(run("bench", out, "--rounds", 2, "--json").out)["verified_images"] == 4


@pytest.mark.parametrize("encoder", ["thermometer:0", "morse"])
def test_an_unknown_encoder_is_a_usage_error(run: Run, out: Path, encoder: str):
    result = run(*QUANTIZE, "--encoder", encoder, "-o", out)
    assert (result.code, out.exists()) == (2, False)
    assert "encoder" in result.err
    assert repr(encoder) in result.err


def test_the_artifact_knows_how_it_was_made(run: Run, project: Path, out: Path):
    weights = project / "weights.pth"
    torch.save({"state_dict": _prefixed(project)}, weights)
    result = run(*QUANTIZE, "--weights", weights, "--test", "images[::2]", "-o", out)
    assert (result.code, result.err) == (0, PREPROCESS + NAMED)
    artifact = load(out)
    assert artifact.classes == ("blue", "green", "red")
    assert artifact.provenance["data"] == "images"
    assert artifact.provenance["preprocess_from"] == "from colours:net.preprocess"
    assert artifact.provenance["calibration"]["images"] == 6
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert artifact.provenance["model"] == {
        "spec": "colours:net",
        "weights": {"file": "weights.pth", "sha256": digest},
    }
    assert artifact.provenance["measured"] == {
        "data": "images[::2]",
        "images": 3,
        "bad": 0,
        "top1": 100.0,
        "top5": None,
        "agreement": 100.0,
        "float_top1": 100.0,
        "float_top5": None,
        "float_at_chance": False,
        "labels_by": "name",
    }


def _prefixed(project: Path) -> dict[str, torch.Tensor]:
    from bitwright.models import load_model

    return {
        f"module.{name}": value for name, value in load_model("colours:net").float_model.module.state_dict().items()
    }


def test_an_exported_program_is_its_own_weights(run: Run, project: Path, out: Path):
    from bitwright.models import load_model

    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(
        load_model("colours:net").float_model.module, (torch.zeros(2, 3, 8, 8),), dynamic_shapes=shapes
    )
    torch.export.save(program, project / "net.pt2")
    given = ("--mean", 0, "--std", 1)
    result = run("quantize", "net.pt2", *given, "--data", "images", "--test", "images", "-o", out)
    assert (result.code, result.err) == (
        0,
        f"bitwright: preprocess: {LINE}; as given by --mean, --std, the size from the graph\n" + NAMED,
    )
    digest = hashlib.sha256((project / "net.pt2").read_bytes()).hexdigest()
    provenance = load(out).provenance
    assert provenance["model"] == {"spec": "net.pt2", "weights": {"file": "net.pt2", "sha256": digest}}
    assert provenance["measured"]["agreement"] == 100.0


def test_the_same_command_gives_the_same_bytes(run: Run, tmp_path: Path):
    first, second = tmp_path / "1", tmp_path / "2"
    for path in (first, second):
        assert run(*QUANTIZE, "-o", path).code == 0
    assert first.read_bytes() == second.read_bytes()


def test_a_seed_draws_other_images(run: Run, tmp_path: Path):
    seen = set()
    for seed in range(3):
        path = tmp_path / str(seed)
        assert run(*QUANTIZE, "--calibrate", 2, "--seed", seed, "-o", path).code == 0
        seen.add(load(path).provenance["calibration"]["sha256"])
    assert len(seen) > 1


def test_a_recipe_file(run: Run, project: Path, out: Path):
    (project / "mine.toml").write_text('weights = "int5"\nrange = "minmax"\n')
    assert run(*QUANTIZE, "--recipe", "mine.toml", "-o", out).code == 0
    assert load(out).provenance["recipe"] == {
        "name": "mine",
        "weights": "int5",
        "activations": "uint8",
        "range": "minmax",
        "algorithms": ["equalize", "bias_correct"],
    }
    assert load(out).provenance["calibration"]["range"] == "minmax"


def test_preprocess_options_override_what_is_known(run: Run, out: Path):
    options = ("--size", "6x7", "--resize", "9", "--mean", "0.5,1/4,0", "--std", "2", "--scale", "1/128")
    more = ("--interpolation", "box", "--background", "1,2,3")
    assert run(*QUANTIZE, *options, *more, "-o", out).code == 0
    pre = load(out).preprocess
    assert (pre.size, pre.resize, pre.mean, pre.std) == ((6, 7), 9, (0.5, 0.25, 0.0), (2.0, 2.0, 2.0))
    assert (pre.scale, pre.mode, pre.interpolation, pre.background) == (1 / 128, "RGB", "box", (1, 2, 3))
    assert run(*QUANTIZE, "--size", 6, "--resize", "none", "-o", out).code == 0
    assert (load(out).preprocess.size, load(out).preprocess.resize) == ((6, 6), None)


def test_class_names_that_do_not_fit_are_left_out(run: Run, project: Path, out: Path):
    (project / "two.csv").write_text("path,label\nimages/red/0.png,red\nimages/blue/0.png,blue\n")
    result = run("quantize", "colours:net", "--data", "two.csv", "-o", out)
    assert result.code == 0
    assert result.err == RANDOM + (
        "bitwright: warning: two.csv has 2 classes (blue, red) and the model 3 outputs; nobody knows which is which, so the "
        "artifact has no class names; give --classes FILE\n"
    )
    assert load(out).classes is None


def test_a_bad_image_is_left_out_and_reported(run: Run, out: Path):
    result = run("quantize", "colours:net", "--data", "mixed", "--json", "-o", out)
    assert (result.code, result.err) == (0, RANDOM + ALIKE + BAD)
    document = json.loads(result.out)
    assert document["images"] == 1
    assert [image["name"] for image in document["bad"]] == ["mixed/bad.png"]


def test_with_strict_a_bad_image_is_an_error(run: Run, out: Path):
    result = run("quantize", "colours:net", "--data", "mixed", "--strict", "-o", out)
    assert (result.code, result.out) == (1, "")
    assert result.err == RANDOM + BAD.replace("warning: left out ", "error: ")
    assert not out.exists()


def test_no_image_at_all_is_an_error(run: Run, out: Path):
    result = run("quantize", "colours:net", "--data", "mixed/bad.png", "-o", out)
    assert (result.code, result.out) == (1, "")
    assert result.err == RANDOM + BAD + "bitwright: error: there are no images to calibrate on\n"
    assert not out.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["-o", "nowhere/x"], "cannot write nowhere/x: there is no folder /"),
        (
            ["-o", "images"],
            "cannot write images: expected a file or nothing there, found a folder; choose another path",
        ),
        (
            ["--recipe", "w9a8"],
            "expected a recipe like w8a8, with 1 to 8 bits each (wt: ternary weights), or a .toml file; found 'w9a8'",
        ),
        (["--recipe", "none.toml"], "cannot read none.toml: No such file or directory"),
        (["--weights", "none.pth"], "cannot read none.pth: No such file or directory"),
        (["--data", "nowhere"], "nowhere: no such file or folder; expected one of:\n  the word digits (scikit-learn's"),
        (["--test", "nowhere"], "nowhere: no such file or folder; expected one of:\n  the word digits (scikit-learn's"),
    ],
)
def test_what_cannot_work_stops_before_any_work(changes: list[str], message: str, run: Run, out: Path):
    result = run(*QUANTIZE, "-o", out, *changes)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"bitwright: error: {message}")
    assert not out.exists()


def test_auto_stops_at_what_keeps_the_budget(run: Run, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BITWRIGHT_CACHE", str(tmp_path / "cache"))
    result = run(*QUANTIZE, "--auto", "--max-drop", 1, "--recipe", "w4a8", "-o", out)
    assert result.code == 0
    assert result.err.startswith(RANDOM + ORDER + "bitwright: mse ranges: ")
    assert "points (" in result.err
    assert "steps          1, the last with ranges alone\ndrop           0.00 (" in result.out
    steps = load(out).provenance["auto"]["steps"]
    assert [(step["algorithms"], step["why"]) for step in steps] == [([], "ranges alone")]
    again = tmp_path / "again"
    assert run(*QUANTIZE, "--auto", "--max-drop", 1, "--recipe", "w4a8", "--json", "-o", again).code == 0
    assert again.read_bytes() == out.read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-drop", "1"], "--max-drop needs --auto"),
        (["--verify", "5"], "--verify needs --auto"),
        (["--auto", "--strict"], "--auto leaves out images that cannot be read"),
    ],
)
def test_options_of_auto_that_do_not_fit(options: list[str], message: str, run: Run, out: Path):
    result = run(*QUANTIZE, *options, "-o", out)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_without_data_the_batch_norms_tell_or_it_says_what_is_missing(run: Run, out: Path):
    result = run("quantize", QUANTIZE[1], "-o", out)
    assert (result.code, result.out) == (1, "")
    assert "this model has none; give it images" in result.err


def test_algorithms_in_place_of_the_recipes(run: Run, out: Path):
    for given, found in (("none", []), ("equalize,adaround", ["equalize", "adaround"])):
        assert run(*QUANTIZE, "--algorithms", given, "-o", out).code == 0
        assert load(out).provenance["recipe"]["algorithms"] == found


@pytest.mark.parametrize("option", ["--weights", "--data", "--recipe", "--classes"])
def test_no_output_takes_the_place_of_what_is_read(option: str, run: Run, tmp_path: Path):
    path = tmp_path / {"--data": "list.csv", "--recipe": "r.toml"}.get(option, "file")
    path.write_text("keep me")
    (tmp_path / "other").symlink_to(path)
    given = {"--data": "images", option: f"{path}[:2]" if option == "--data" else path}
    result = run("quantize", "colours:net", *(x for pair in given.items() for x in pair), "-o", tmp_path / "other")
    assert result == (
        2,
        "",
        f"bitwright: error: cannot write {tmp_path}/other: it is the file of {option} as well; choose another path\n",
    )
    assert path.read_text() == "keep me"


def test_two_outputs_are_two_files(run: Run, tmp_path: Path):
    audit = ("audit", "m.bw.safetensors", "--model", "colours:net", "--data", "images")
    result = run(*audit, "--apply", tmp_path / "x.toml", "-o", tmp_path / "x.toml")
    assert (result.code, "it is another output as well" in result.err) == (2, True)
    result = run(*audit, "-o", "m.bw.safetensors")
    assert (result.code, "it is the file of artifact as well" in result.err) == (2, True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--algorithms", "adaroud"), "unknown algorithm 'adaroud'"),
        (("--recipe", "range"), "unknown range 'mxe'"),
        (("--recipe", "training"), "unknown training algorithm 'lqs'"),
    ],
)
def test_names_of_algorithms_are_checked_before_the_model_is_opened(given, said, run: Run, tmp_path: Path):
    for key, value in (("range", "mxe"), ("training", "lqs")):
        (tmp_path / f"{key}.toml").write_text(f'{key} = "{value}"\nweights = "int8"\nactivations = "uint8"\n')
    given = (given[0], tmp_path / f"{given[1]}.toml") if given[0] == "--recipe" else given
    result = run("quantize", "nowhere:net", "--data", "images", *given, "-o", tmp_path / "x")
    assert (result.code, said in result.err) == (2, True)


def test_spaces_between_names_of_algorithms(run: Run, tmp_path: Path):
    assert run(*QUANTIZE, "--algorithms", "equalize, bias_correct", "-o", tmp_path / "x").code == 0


@pytest.mark.parametrize(
    ("effort", "corrections", "minutes"),
    [
        ("quick", ["equalize", "bias_correct"], None),
        ("best", ["equalize", "reconstruct", "bias_correct", "finetune_scales"], 15),
    ],
)
def test_an_effort_takes_the_place_of_the_algorithms(
    run: Run, out: Path, effort: str, corrections: list[str], minutes: float | None
):
    result = run(*QUANTIZE, "--recipe", "w4a8", "--effort", effort, "-o", out)
    provenance = load(out).provenance
    assert result.code == 0, result.err
    assert provenance["recipe"]["algorithms"] == corrections
    assert provenance["calibration"].get("minutes") == minutes


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--effort", "best", "--algorithms", "none"], "--effort and --algorithms both say which algorithms run"),
        (["--effort", "best", "--auto"], "--auto chooses the algorithms; leave out --effort"),
        (["--minutes", "2", "--auto"], "--auto chooses the algorithms; leave out --minutes"),
        (["--effort", "most"], "'most' is not one of 'quick', 'normal', 'best'"),
        (["--minutes", "0"], "0.0 is not in the range x>0"),
    ],
)
def test_an_effort_that_makes_no_sense_is_wrong_usage(run: Run, out: Path, options: list[str], told: str):
    result = run(*QUANTIZE, *options, "-o", out)
    assert (result.code, out.exists()) == (2, False)
    assert told in result.err


@pytest.mark.parametrize("options", [["--effort", "best"], ["--minutes", "1"]])
def test_what_takes_time_needs_images(run: Run, out: Path, options: list[str]):
    result = run("quantize", "colours:net", *options, "-o", out)
    assert (result.code, out.exists()) == (2, False)
    assert f"{options[0]} {'best ' if len(options[1]) > 1 else ''}needs --data" in result.err
