"""Processes that are killed, full disks, folders and files without permission: no file is half written, and work goes on."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

import bitwright as bw
from bitwright.errors import ArtifactError
from tests.nobody import as_nobody

RESNET20 = Path(__file__).parents[1] / "examples/cifar10/resnet20-w4a4.bw.safetensors"


def start(script: str, *args: object) -> "subprocess.Popen[str]":
    """A process of Python that has bitwright, and PyTorch's threads as here; what it prints comes as it is printed."""
    torch = sys.modules.get("torch")
    threads = {} if torch is None else {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # float sums depend on it
    command = [sys.executable, "-c", "import sys\nimport bitwright as bw\n" + dedent(script), *map(str, args)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, **threads},
    )


def kill_when(process: "subprocess.Popen[str]", ready: Callable[[], bool]) -> None:
    """SIGKILL as soon as it is `ready`; it must not have ended before."""
    with process:
        end = time.monotonic() + 90
        while not ready():
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < end
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


def test_a_writer_that_is_killed_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    script = """
        from dataclasses import replace
        artifact = bw.load(sys.argv[1])
        for i in range(10**6):
            artifact = replace(artifact, provenance={"saved": i})
            artifact.save(sys.argv[2])
            print(i, flush=True)
    """
    path, rng = tmp_path / "m", np.random.default_rng(0)
    for _ in range(4):
        process = start(script, RESNET20, path)
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        until = time.monotonic() + float(rng.uniform(0, 0.1))
        kill_when(process, lambda until=until: time.monotonic() > until)  # type: ignore[misc]
        assert bw.load(path).provenance["saved"] >= 0
    bw.load(RESNET20).save(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["m"]


def test_an_export_that_is_killed_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    script = """
        from bitwright.cli import main
        while main(["export", sys.argv[1], "-o", sys.argv[2]]) == 0:
            print("done", flush=True)
    """
    path, rng = tmp_path / "m.onnx", np.random.default_rng(1)
    expected = None
    for _ in range(2):
        process = start(script, RESNET20, path)
        assert process.stdout is not None
        while process.stdout.readline() != "done\n":
            assert process.poll() is None
        expected = expected or path.read_bytes()
        until = time.monotonic() + float(rng.uniform(0, 0.1))
        kill_when(process, lambda until=until: time.monotonic() > until)  # type: ignore[misc]
        assert path.read_bytes() == expected
    from bitwright.files import remove_stale

    remove_stale(tmp_path)  # as the next write does
    assert list(tmp_path.iterdir()) == [path]


def test_a_server_that_is_killed_is_started_anew_at_the_same_address(tmp_path: Path) -> None:
    for extra in ("fastapi", "uvicorn"):
        pytest.importorskip(extra)
    from urllib.request import urlopen

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log, path = tmp_path / "log", tmp_path / "m.bw.safetensors"
    bw.load(RESNET20).save(path)
    digest = bw.load(path).digest
    for _ in range(2):
        server = start_server(log, path, port)
        with urlopen(f"http://127.0.0.1:{port}/v2/health/ready") as answer:
            assert answer.status == 200
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf of it")
            kill_when(server, lambda: True)
            client.settimeout(20)
            with suppress(ConnectionResetError):
                assert client.recv(100) == b""
    assert bw.load(path).digest == digest
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["log", path.name]


def start_server(log: Path, path: Path, port: int, before: str = "") -> "subprocess.Popen[str]":
    """A server that listens."""
    script = "from bitwright.cli import main; sys.stderr = open(sys.argv[1], 'w'); main(sys.argv[2:])"
    log.unlink(missing_ok=True)
    options = ("--port", port, "--threads", 1, "--reload-seconds", 0.01)
    server, until = start(dedent(before) + script, log, "serve", path, *options), time.monotonic() + 60
    while not (log.exists() and '"listening"' in log.read_text()):
        assert server.poll() is None, server.stderr and server.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.02)
    return server


def test_a_server_that_is_killed_while_it_takes_a_new_model_starts_with_that(tmp_path: Path) -> None:
    for extra in ("fastapi", "uvicorn"):
        pytest.importorskip(extra)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log, path, loading = tmp_path / "log", tmp_path / "m.bw.safetensors", tmp_path / "loading"
    old, new = bw.load(RESNET20), bw.load(RESNET20.with_name("resnet20-w2a2.bw.safetensors"))
    old.save(path)
    before = bw.load(path).digest
    lingering = f"""
        import pathlib, time
        from bitwright.serve import models
        prove, times = models.ServedModel._prove, iter(range(9))
        def lingering(self):
            prove(self)
            if next(times):
                pathlib.Path({str(loading)!r}).touch()
                time.sleep(60)
        models.ServedModel._prove = lingering
    """
    server = start_server(log, path, port, lingering)
    new.save(path)
    digest = bw.load(path).digest
    kill_when(server, loading.exists)
    again = start_server(log, path, port)
    kill_when(again, lambda: True)
    assert f'"version": "{before[:12]}' not in log.read_text()
    assert digest[:12] in log.read_text()
    assert bw.load(path).digest == digest
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["loading", "log", path.name]


TRAIN = """
    from pathlib import Path
    from tests.training.test_trainer import run
    run(96, resume=Path(sys.argv[1])).save(sys.argv[2])
"""


def test_training_that_is_killed_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    checkpoint, out = tmp_path / "run", tmp_path / "m"
    kill_when(start(TRAIN, checkpoint, out), checkpoint.exists)
    assert not out.exists()
    with start(TRAIN, checkpoint, out) as again:
        assert again.wait(90) == 0
    from tests.training.test_trainer import run

    assert out.read_bytes() == run(96, resume=tmp_path / "other").data


SEARCH = """
    import torch
    from torch import nn
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10))
    pre = bw.Preprocess(size=8, mode="L", mean=0.3, std=0.4)
    options = {"max_drop": 90.0, "bits": (4,), "calibrate": 64}
    found = bw.search(model, bw.open_source("digits[:200]"), preprocess=pre, cache=sys.argv[1], force=True, **options)
    found.artifact.save(sys.argv[2])
"""


def test_a_search_that_is_killed_goes_on_from_its_cache(tmp_path: Path) -> None:
    for extra in ("torch", "sklearn", "scipy"):
        pytest.importorskip(extra)
    cache, out = tmp_path / "cache", tmp_path / "m"
    kill_when(start(SEARCH, cache, out), lambda: cache.is_dir() and any(cache.iterdir()))
    assert not out.exists()
    with start(SEARCH, cache, out) as again:
        assert again.wait(90) == 0, again.stderr and again.stderr.read()
    bw.load(out)
    assert not [entry for entry in (*cache.iterdir(), *tmp_path.iterdir()) if entry.name.endswith("bitwright-tmp")]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """A limit of the size of files stands for it: what is written behind it fails in the same call."""
    path = tmp_path / "m"
    path.write_bytes(b"old")
    artifact = bw.load(RESNET20)
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
        with pytest.raises(ArtifactError, match="File too large"):
            artifact.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_read_only_folder_and_an_unreadable_file_are_errors_of_ours(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    artifact, path = bw.load(RESNET20), tmp_path / "m"
    tmp_path.chmod(0o555)
    with as_nobody(), pytest.raises(ArtifactError, match="Permission denied"):
        artifact.save(path)
    assert list(tmp_path.iterdir()) == []
    tmp_path.chmod(0o755)
    artifact.save(path)
    path.chmod(0)
    with as_nobody():
        for read in (bw.load, bw.Engine):
            with pytest.raises(ArtifactError, match="Permission denied"):
                read(path)
    path.chmod(0o644)


def test_a_file_that_is_cut_or_replaced_after_it_was_read_changes_nothing(tmp_path: Path) -> None:
    path, image = tmp_path / "m", np.zeros((1, 32, 32, 3), np.uint8)
    bw.load(RESNET20).save(path)
    engine = bw.Engine(path, threads=1)
    expected = engine(image)
    with open(path, "r+b") as file:
        file.truncate(100)
    np.testing.assert_array_equal(engine(image), expected)
    with pytest.raises(ArtifactError):
        bw.load(path)
    path.unlink()
    np.testing.assert_array_equal(engine(image), expected)
