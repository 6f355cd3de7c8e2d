"""Files are written whole or not at all, and what is not a file is left alone."""

import fcntl
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import bitwright as bw
from bitwright import files
from bitwright.audit.plain import read_json
from bitwright.budget.cache import Cache
from bitwright.class_files import read_classes
from bitwright.errors import ArtifactError, BitwrightError, TrainingError
from bitwright.files import SUFFIX, expect_writable, remove_stale, write_atomically
from bitwright.gates.gates import Gates
from bitwright.models import load_model
from bitwright.recipe import Recipe
from bitwright.serve.settings import token_of
from bitwright.training import checkpoint
from bitwright.training.checkpoint import read_record


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_gets_the_mode_of_any_new_file(tmp_path: Path) -> None:
    for mask, mode in ((0o022, 0o644), (0o077, 0o600), (0o002, 0o664)):
        before = os.umask(mask)
        try:
            write_atomically(tmp_path / f"{mask}", b"new")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / f"{mask}").stat().st_mode) == mode


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o666, 0o750, 0o400])
def test_a_file_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    path.chmod(mode)
    write_atomically(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == mode
    path.chmod(0o600)
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["f"]


def test_a_file_keeps_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    if os.geteuid() == 0:
        os.chown(path, 1234, 2345)
        write_atomically(path, b"new")
        assert (path.stat().st_uid, path.stat().st_gid, path.read_bytes()) == (1234, 2345, b"new")
    else:
        write_atomically(path, b"new")
        assert path.stat().st_uid == os.geteuid()
    monkeypatch.setattr(os, "fchown", refuse)
    monkeypatch.setattr(os, "fstat", lambda descriptor, real=os.fstat: Owner(real(descriptor)))
    with pytest.raises(ArtifactError, match=r"belongs to user .* may not keep that; remove it first"):
        write_atomically(path, b"newer")
    monkeypatch.undo()
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["f"]


class Owner:
    """A file's status, of another owner."""

    def __init__(self, real: os.stat_result) -> None:
        self.st_nlink, self.st_uid, self.st_gid = real.st_nlink, real.st_uid + 1, real.st_gid


def refuse(*arguments: Any) -> None:
    raise PermissionError(1, "Operation not permitted")


def test_the_contents_are_private_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    path.chmod(0o600)
    modes = []
    monkeypatch.setattr(files, "_keep", lambda descriptor, old: modes.append(os.fstat(descriptor).st_mode & 0o777))
    write_atomically(path, b"new")
    assert modes == [0o600]


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target, link, chain = tmp_path / "there" / "f", tmp_path / "link", tmp_path / "chain"
    link.symlink_to("there/f")
    chain.symlink_to(link)
    for contents in (b"made", b"written"):  # the first time the link leads nowhere yet
        write_atomically(chain, contents)
        assert target.read_bytes() == contents
        assert chain.is_symlink()
        assert link.is_symlink()
    assert names(tmp_path) == ["chain", "link", "there"]
    assert names(tmp_path / "there") == ["f"]
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises(ArtifactError, match="symbolic links"):
        write_atomically(loop, b"")


def special(folder: Path, kind: str) -> Path:
    path = folder / "s"
    if kind == "a folder":
        path.mkdir()
    elif kind == "a FIFO (pipe)":
        os.mkfifo(path)
    elif kind == "a device":
        path = Path("/dev/null")
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    return path


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("kind", ["a folder", "a FIFO (pipe)", "a socket", "a device"])
def test_what_is_no_file_is_left_alone(tmp_path: Path, kind: str, linked: bool) -> None:
    found = special(tmp_path, kind)
    before = found.stat()
    path = found
    if linked:
        path = tmp_path / "link"
        path.symlink_to(found)
    for call in (lambda: write_atomically(path, b"x"), lambda: expect_writable(path)):
        with pytest.raises(ArtifactError, match="expected a file or nothing there, found") as caught:
            call()
        assert f"found {kind};" in str(caught.value)
    after = found.stat()
    assert (after.st_mode, after.st_ino, after.st_dev) == (before.st_mode, before.st_ino, before.st_dev)


@pytest.mark.parametrize("path", ["a\0b", "\ud800", "n" * 256, ""])
def test_paths_that_can_be_no_file(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrainingError, match="cannot write"):
        write_atomically(path, b"x", TrainingError)
    assert names(tmp_path) == []


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    for name in ("n" * 255, "ä" * 127):
        write_atomically(tmp_path / name, b"x")
        assert (tmp_path / name).read_bytes() == b"x"


def test_it_is_found_out_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expect_writable(tmp_path / "new")
    (tmp_path / "old").write_bytes(b"")
    expect_writable(tmp_path / "old")
    for path in (tmp_path / "no" / "f", Path("a\0b")):
        with pytest.raises(TrainingError, match="cannot write"):
            expect_writable(path, TrainingError)
    monkeypatch.setattr(os, "access", lambda *a: False)
    with pytest.raises(ArtifactError, match="may not write in the folder"):
        expect_writable(tmp_path / "new")
    assert names(tmp_path) == ["old"]


def test_the_disk_has_it_in_the_right_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    def fsync(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    def replace(source: Path, target: Path, real: Any = os.replace) -> None:
        assert Path(source).read_bytes() == b"new"
        done.append("rename")
        real(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write_atomically(tmp_path / "f", b"new")
    assert done == ["file", "rename", "folder"]


@pytest.mark.parametrize(("number", "fails"), [(22, False), (95, False), (5, True), (28, True)])
def test_a_folder_that_cannot_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, fails: bool
) -> None:
    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    if fails:
        with pytest.raises(ArtifactError, match=os.strerror(number)):
            write_atomically(tmp_path / "f", b"new")
    else:
        write_atomically(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"new"


WRITER = """
import os, sys, time
from bitwright import files
def wait(source, target):
    print(source, flush=True)
    time.sleep(60)
os.replace = wait
files.write_atomically(sys.argv[1], b"half")
"""


def test_stale_files_of_dead_processes_are_removed_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        temporary = Path(writer.stdout.readline().strip())
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".f.")
        assert temporary.name.endswith(SUFFIX)
        others = [".f.0123456789abcdef.tmp", f"f.0123456789abcdef{SUFFIX}", f".f.0123{SUFFIX}", f".f{SUFFIX}"]
        for name in others:
            (tmp_path / name).write_bytes(b"mine")
        (tmp_path / f".d.0123456789abcdef{SUFFIX}").mkdir()
        (tmp_path / f".l.0123456789abcdef{SUFFIX}").symlink_to(others[0])
        os.mkfifo(tmp_path / f".p.0123456789abcdef{SUFFIX}")
        before = names(tmp_path)
        write_atomically(tmp_path / "other", b"x")
        assert names(tmp_path) == sorted([*before, "other"])  # its writer lives
        writer.send_signal(signal.SIGKILL)
    assert temporary.exists()
    write_atomically(path, b"whole")
    assert names(tmp_path) == sorted([*(name for name in before if name != temporary.name), "f", "other"])
    assert path.read_bytes() == b"whole"


def test_another_users_stale_files_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = tmp_path / f".f.0123456789abcdef{SUFFIX}"
    stale.write_bytes(b"")
    monkeypatch.setattr(os, "geteuid", lambda: stale.stat().st_uid + 1)
    remove_stale(tmp_path)
    assert stale.exists()
    monkeypatch.undo()
    remove_stale(tmp_path)
    assert not stale.exists()
    remove_stale(tmp_path / "none")


def test_a_writer_whose_file_was_taken_for_stale_begins_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Path] = []

    def flock(descriptor: int, how: int) -> None:  # as if another process cleaned between the creation and the lock
        if not taken:
            taken.extend(tmp_path.iterdir())
            taken[0].unlink()

    monkeypatch.setattr(fcntl, "flock", flock)
    write_atomically(tmp_path / "f", b"new")
    assert len(taken) == 1
    assert names(tmp_path) == ["f"]


def test_many_writers_of_one_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    loop = """
import sys
from bitwright.files import write_atomically
for _ in range(20):
    write_atomically(sys.argv[1], sys.argv[2].encode() * 5000)
"""
    running = [subprocess.Popen([sys.executable, "-c", loop, path, letter]) for letter in "abc"]
    while any(process.poll() is None for process in running):
        if path.exists():
            contents = path.read_bytes()
            assert len(contents) == 5000
            assert len(set(contents)) == 1
        time.sleep(0.001)
    assert [process.wait() for process in running] == [0, 0, 0]
    assert names(tmp_path) == ["f"]


@pytest.mark.parametrize("path", ["a\0b", "a\0.csv", "a\0.npz", "a\0.png[::2]", "a\0.pt2", "\ud800", "n" * 256])
def test_no_path_ends_in_a_foreign_error(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    artifact = bw.load(Path(__file__).parents[1] / "examples/cifar10/resnet20-w4a4.bw.safetensors")
    cache = Cache(path)
    assert cache.get(key=1) is None
    for call in (
        lambda: artifact.save(path),
        lambda: bw.load(path),
        lambda: bw.Engine(path),
        lambda: bw.open_source(path),
        lambda: load_model(path),
        lambda: read_classes(path),
        lambda: read_record(Path(path)),
        lambda: cache.put(1, key=1),
    ):
        with pytest.raises(BitwrightError):
            call()
    assert names(tmp_path) == []


def test_a_checkpoint_is_written_like_any_file(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters())
    path = tmp_path / "run"
    path.write_bytes(b"old")
    path.chmod(0o600)
    checkpoint.save(path, model, optimizer, {}, {"options": {}})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_record(path) == {"options": {}}
    assert names(tmp_path) == ["run"]
    with pytest.raises(TrainingError, match="found a device"):
        checkpoint.save(Path("/dev/null"), model, optimizer, {}, {})


@pytest.mark.parametrize(
    "read", [bw.load, Recipe.parse, read_classes, Gates.load, read_json, token_of], ids=lambda read: read.__qualname__
)
def test_a_device_without_an_end_is_not_read(read: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "endless.toml"
    path.symlink_to("/dev/zero")
    with pytest.raises(BitwrightError, match="expected a file, found a device"):
        read(path)


def test_a_pipe_is_read_to_its_end() -> None:
    there, here = os.pipe()
    os.write(here, b"cat\ndog\n")
    os.close(here)
    assert read_classes(f"/dev/fd/{there}").names == ("cat", "dog")
    os.close(there)
