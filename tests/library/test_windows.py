"""The C library for Windows in Wine, as `scripts/windows` builds it: the bytes of this machine's engine."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bitwright.engine import Engine
from tests import pinned
from tests.conftest import REPOSITORY

PROGRAM = REPOSITORY / "build" / "windows" / "logits.exe"

pytestmark = pytest.mark.skipif(
    not PROGRAM.exists() or not shutil.which("wine"), reason="needs what scripts/windows builds, and wine"
)


@pytest.mark.parametrize("name", pinned.NAMES)
def test_pinned_networks_have_their_logits(name: str, tmp_path: Path) -> None:
    made = pinned.artifact(name)
    images = pinned.images(name, made.preprocess.shape)
    made.save(tmp_path / "artifact")
    (tmp_path / "pixels").write_bytes(images.tobytes())
    environment = {**os.environ, "WINEDEBUG": "-all", "WINEPREFIX": str(REPOSITORY / "build" / "wine")}
    command = ["wine", str(PROGRAM), str(tmp_path / "artifact"), str(tmp_path / "pixels")]
    found = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert found.returncode == 0, found.stderr
    assert found.stdout == Engine(made)(images).tobytes()
    assert hashlib.sha256(found.stdout).hexdigest() == json.loads(pinned.KEPT.read_text())[name]["logits"]
