"""A device in the place of a file is refused unread: /dev/zero has no end, and a stranger's folder may link to it."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from bitwright.signing_keys import generate
from tests.artifact.sample import ARTIFACT

COMMANDS = {
    "an artifact": ("inspect", "zero.bw.safetensors"),
    "a picture": ("classify", "model", "zero.png"),
    "gates": ("check", "model", "--gates", "zero.toml"),
    "class names": ("evaluate", "model", "--data", "digits", "--classes", "zero.txt"),
    "a manifest": ("evaluate", "model", "--data", "zero.csv"),
    "an archive": ("evaluate", "model", "--data", "zero.npz"),
    "IDX": ("evaluate", "model", "--data", "zero-images-idx3-ubyte"),
    "an ONNX file": ("quantize", "zero.onnx", "--data", "digits", "-o", "out"),
    "a program": ("quantize", "zero.pt2", "--data", "digits", "-o", "out"),
    "weights": ("quantize", "net:make", "--weights", "zero.pt", "--data", "digits", "-o", "out"),
    "a recipe": ("quantize", "net:make", "--recipe", "zero.toml", "--data", "digits", "-o", "out"),
    "keys": ("verify", "model", "--trust", "zero.pub"),
    "a signature": ("verify", "model", "--trust", "key.pub", "--signature", "zero.sig"),
    "a private key": ("sign", "model", "--key", "zero.key"),
    "a password": ("sign", "model", "--key", "model", "--password-file", "zero.txt"),
}
NET = """
from torch import nn
from bitwright import Preprocess

def make():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))

make.preprocess = Preprocess(size=8, mode="L")
"""


ALL = """
import contextlib, io, json, sys
from bitwright.cli import main

found = []
for command in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
        code = main(command)
    found.append((code, said.getvalue()))
print(json.dumps(found))
"""


def limit() -> None:
    """Should a device be read all the same, that is an error, and the machine goes on."""
    resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))


def test_devices_are_refused(tmp_path: Path) -> None:
    for package in ("torch", "onnx", "cryptography"):
        pytest.importorskip(package)
    (tmp_path / "net.py").write_text(NET)
    ARTIFACT.save(tmp_path / "model")
    generate(tmp_path / "key")
    for part in {part for command in COMMANDS.values() for part in command if part.startswith("zero")}:
        (tmp_path / part).symlink_to("/dev/zero")
    done = subprocess.run(
        [sys.executable, "-c", ALL, json.dumps(list(COMMANDS.values()))],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        preexec_fn=limit,
        timeout=300,
    )
    for kind, (code, said) in zip(COMMANDS, json.loads(done.stdout), strict=True):
        assert code in (1, 2), (kind, said)
        assert "zero" in said, kind
        assert "Traceback" not in said, kind
        assert "emory" not in said, kind
