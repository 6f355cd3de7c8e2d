"""Two processes that torchrun starts: the bytes of one, and a training that goes on where one of them was killed."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import bitwright as bw
from bitwright.cli import main
from bitwright.ranks import ALONE
from bitwright.scale import torchrun
from bitwright.training import checkpoint
from tests.conftest import REPOSITORY

pytest.importorskip("torch.distributed")
pytest.importorskip("sklearn")
from tests.scale.worker import LAST_STEP, calibrated


def test_two_ranks_make_what_one_makes_and_training_survives_a_killed_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["--max-restarts", "3", "tests/scale/worker.py", str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-5000:]
    assert (
        "exitcode: -9" in done.stderr or "exitcode: -6" in done.stderr
    )  # the rank that it killed, or the other, whose peer is gone
    assert (tmp_path / "calibrated").read_bytes() == calibrated(ALONE).data
    whole, killed = (replace(bw.load(tmp_path / way), provenance={}) for way in ("whole", "killed"))
    assert killed.data == whole.data
    assert checkpoint.read_record(tmp_path / "killed.run")["step"] > LAST_STEP
    assert bw.load(tmp_path / "killed").provenance["training"]["ranks"] == 2


@pytest.mark.parametrize(
    ("environment", "size"),
    [
        ({}, 1),
        ({"WORLD_SIZE": "4"}, 1),
        ({"WORLD_SIZE": "4", "RANK": "3", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, 4),
        ({"WORLD_SIZE": "1", "RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, 1),
        ({"WORLD_SIZE": "some", "RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, 1),
    ],
)
def test_several_ranks_are_those_that_all_of_torchruns_variables_tell(environment: dict[str, str], size: int) -> None:
    assert torchrun.launched(environment) == size


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["inspect", "m"], "torchrun started 2 processes, and `inspect` runs in one"),
        (["quantize", "a:b", "--data", "digits", "--auto", "-o", "m"], "`quantize --auto` runs in one"),
    ],
)
def test_a_command_that_cannot_be_shared_is_refused(
    command: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert main(command) == 2
    assert said in capsys.readouterr().err
