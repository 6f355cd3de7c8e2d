"""Exit codes, of every command: 2 for wrong usage, 1 where it ran and the answer is no."""

import errno
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from bitwright.cli.app import COMMANDS
from bitwright.cli.exit_codes import MisuseError, exit_code, misuse
from bitwright.errors import (
    ArtifactError,
    BitwrightError,
    BudgetError,
    CaptureError,
    LabelError,
    ModelError,
    RecipeError,
    SignatureError,
    SourceError,
)
from tests.cli.conftest import Run

M = "m.bw.safetensors"
NET = ("colours:net", "--data", "images")
FLOAT = ("--model", "colours:net", "--data", "images")
MISUSED: dict[str, list[tuple[str, ...]]] = {
    "audit": [("no.bw", *FLOAT), (M, "--model", "colours:no", "--data", "images"), (M, *FLOAT, "--parts", "none")],
    "bench": [("no.bw",), (M, "--rounds", "0")],
    "check": [("no.bw", "--gates", "gates.toml"), (M, "--gates", "no.toml"), (M, "--gates", "colours.py")],
    "classify": [("no.bw", "images"), (M, "no.png"), (M, "no.csv"), (M, "images", "--classes", "no.txt")],
    "compare": [("no.bw", M), (M, "no.bw"), (M, M, "--data", "no"), (M, M, "--limit", "3")],
    "completion": [("tcsh",)],
    "evaluate": [("no.bw", "--data", "images"), (M, "--data", "no"), (M, "--data", "images", "--labels", "colour")],
    "export": [("no.bw", "-o", "m.onnx"), (M, "-o", "m.txt"), (M, "-o", "no/m.onnx")],
    "inspect": [("no.bw",), ("images",), ("float.safetensors",), ("images/red/0.png",), (M, "--threads", "1")],
    "keygen": [("no/key",), ("key", "--password-file", "no.txt")],
    "quantize": [
        ("colours:no", "--data", "images", "-o", "x"),
        ("no.onnx", "--data", "images", "-o", "x"),
        ("no.pt2", "--data", "images", "-o", "x"),
        ("colours:net", "--data", "no", "-o", "x"),
        (*NET, "-o", "no/x"),
        (*NET, "-o", "x", "--weights", "no.pth"),
        (*NET, "-o", "x", "--recipe", "w99"),
        (*NET, "-o", "x", "--recipe", "no.toml"),
        (*NET, "-o", "x", "--range", "none"),
        (*NET, "-o", "x", "--algorithms", "adaroud"),
        (*NET, "-o", "x", "--size", "0"),
    ],
    "report": [
        ("no.bw", *FLOAT, "-o", "r.html"),
        (M, *FLOAT, "-o", "no/r.html"),
        (M, *FLOAT, "-o", "r", "--peer", "x"),
    ],
    "search": [(*NET, "-o", "no/x"), (*NET, "-o", "x", "--bits", "9"), (*NET, "-o", "x", "--recipe", "w99")],
    "sensitivity": [("colours:no", "--data", "images"), (*NET, "--recipe", "w99"), (*NET, "--bits", "9")],
    "serve": [("no=no.bw",), ("a=" + M, "a=" + M), (M, "--token-file", "no.txt"), (M, "--port", "-1")],
    "sign": [(M, "--key", "no"), (M, "--key", "colours.py")],
    "train": [
        (*NET, "-o", "no/x"),
        (*NET, "-o", "x", "--recipe", "w99"),
        (*NET, "-o", "x", "--training", "lqs"),
        (*NET, "-o", "x", "--augment", "spin"),
        (*NET, "-o", "x", "--sweep", "rate=1", "--held-out", "images"),
        (*NET, "-o", "x", "--teacher", "colours:net"),
    ],
    "verify": [(M,), (M, "--trust", "no.pub"), ("no.bw", "--trust", "colours.py")],
    "zoo": [("make", "nothing", "-o", "x"), ("make", "resnet20-w8a8", "-o", "x", "--data", "no")],
}
CASES = [(name, *more) for name, given in MISUSED.items() for more in [("--no-such-option",), *given]]


def test_every_command_is_here() -> None:
    assert tuple(MISUSED) == COMMANDS


@pytest.mark.parametrize("arguments", CASES, ids=" ".join)
def test_wrong_usage(run: Run, project: Path, arguments: tuple[str, ...]) -> None:
    if arguments[0] == "serve":
        pytest.importorskip("fastapi")
    (project / "gates.toml").write_text("max_bytes = 1")
    (project / "float.safetensors").write_bytes(save({"weight": np.zeros(3, np.float32)}))
    result = run(*arguments)
    assert (result.code, result.out) == (2, "")
    assert "rror: " in result.err
    assert not (project / "x").exists()


def test_the_answer_is_no(run: Run, project: Path) -> None:
    (project / "gates.toml").write_text("max_bytes = 1")
    (project / "damaged.bw").write_bytes((project / M).read_bytes()[:100])
    assert run("keygen", "own").code == 0
    assert run("check", M, "--gates", "gates.toml").code == 1
    assert run("verify", M, "--trust", "own.pub").code == 1
    assert run("inspect", "damaged.bw").code == 1
    assert run("classify", M, "mixed/bad.png").code == 1


def caused(error: BitwrightError, number: int) -> BitwrightError:
    error.__cause__ = OSError(number, "why")
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RecipeError("w99"), 2),
        (ModelError("no such model"), 2),
        (SourceError("no such folder"), 2),
        (LabelError("other classes"), 2),
        (caused(ArtifactError("cannot read"), errno.ENOENT), 2),
        (caused(ArtifactError("cannot write"), errno.EACCES), 1),
        (caused(ArtifactError("cannot write"), errno.ENOSPC), 1),
        (caused(ModelError("cannot read"), errno.EIO), 1),
        (ArtifactError("damaged"), 1),
        (BudgetError("none keeps it"), 1),
        (CaptureError("no mapping"), 2),
        (caused(SignatureError("no signature"), errno.ENOENT), 1),
        (OSError(errno.ENOSPC, "full"), 1),
        (FileNotFoundError(errno.ENOENT, "no such file"), 2),
    ],
)
def test_an_error_tells_its_code(error: BaseException, code: int) -> None:
    assert exit_code(error) == code


def test_misuse_is_of_any_kind_but_the_system_s_failures() -> None:
    with pytest.raises(MisuseError, match="no key"), misuse():
        raise SignatureError("no key")
    with pytest.raises(SignatureError), misuse():
        raise caused(SignatureError("cannot write"), errno.ENOSPC)
