"""Commands that write, where the disk is full or the folder is read-only; commands that read what they may not; no memory.

Each ends with exit code 1 and a line that says which file, and leaves what was there as it was.
"""

import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bitwright.cli import main
from tests.cli.conftest import QUANTIZE, Run
from tests.nobody import as_nobody

FILE = "m.bw.safetensors"
FLOAT = ("--model", "colours:net", "--data", "images", "--threads", "1")
SEARCH = ("--bits", "4", "--jobs", "1", "--threads", "1", "--max-drop", "90")
EPOCH = ("--size", "8", "--epochs", "1", "--batch", "6")
WRITERS = {
    "quantize": (*QUANTIZE, "-o", "{out}"),
    "float weights": (*QUANTIZE, "--float-weights", "{out}", "-o", "{other}"),
    "export": ("export", FILE, "-o", "{out}.onnx"),
    "export --twin": ("export", FILE, "--twin", "{out}", "-o", "{other}.onnx"),
    "report": ("report", FILE, *FLOAT, "-o", "{out}.html"),
    "audit": ("audit", FILE, *FLOAT, "--parts", "decisions", "--no-timing", "-o", "{out}.json"),
    "audit --apply": ("audit", FILE, *FLOAT, "--seconds", "0", "--no-timing", "--apply", "{out}.toml"),
    "check": ("check", FILE, "--gates", "gates.toml", "--junit", "{out}.xml"),
    "search": ("search", "colours:net", "--data", "images", *SEARCH, "--no-cache", "-o", "{out}"),
    "cache of a search": ("search", "colours:net", "--data", "images", *SEARCH, "-o", "{other}"),
    "train": ("train", "colours:net", "--data", "images", *EPOCH, "-o", "{out}"),
    "train --resume": ("train", "colours:net", "--data", "images", *EPOCH, "--resume", "{out}", "-o", "{other}"),
    "keygen": ("keygen", "{out}"),
    "sign": ("sign", "{copy}", "--key", "{key}"),
}
"""Each command that writes; {out} is the file that it cannot write."""


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may have more than four bytes: what is written behind that fails in the same call, as on a full disk."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4, before[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("cryptography")
    path = tmp_path_factory.mktemp("keys") / "own"
    assert main(["keygen", str(path)]) == 0
    return path


@pytest.fixture
def command(request, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: Path) -> list[str]:
    """A command of WRITERS, whose files go to `tmp_path`, where there is already a file for some of them to replace."""
    for module in ("onnx", "scipy", "jinja2", "tomli_w"):
        pytest.importorskip(module)
    monkeypatch.setenv("BITWRIGHT_CACHE", str(tmp_path / "cache"))
    copy = tmp_path / FILE
    copy.write_bytes((project / FILE).read_bytes())
    (project / "gates.toml").write_text("max_bytes = 1_000_000\n")
    places = {"out": tmp_path / "out", "other": tmp_path / "other", "copy": copy, "key": key}
    return [part.format(**places) for part in WRITERS[request.param]]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def open_to_all(*paths: Path) -> None:
    """Let everybody into the folders of these, up to the one for temporary files."""
    for path in paths:
        for folder in path.parents[:-2]:
            folder.chmod(0o755)


@pytest.mark.parametrize("command", WRITERS, indirect=True)
def test_a_full_disk_and_a_read_only_folder_are_told_and_nothing_is_half_written(
    command: list[str], project: Path, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(tmp_path)
    with full_disk():
        code = main(command)
    said = capsys.readouterr().err
    assert code == 1, said
    assert "bitwright: error: cannot write " in said
    assert "File too large" in said
    assert files(tmp_path) == before
    assert main(command) == 0, capsys.readouterr().err  # once there is room, the same command works
    for path in tmp_path.rglob("*"):
        if path.is_file() and str(path.relative_to(tmp_path)) not in before:
            path.unlink()
    open_to_all(project / FILE, key, tmp_path)
    key.chmod(0o644)
    for folder in (tmp_path, *(path for path in tmp_path.rglob("*") if path.is_dir())):
        folder.chmod(0o555)
    with as_nobody():
        code = main(command)
    said = capsys.readouterr().err
    assert code == 1, said
    assert "bitwright: error: cannot write " in said
    assert "may not write in the folder" in said or "Permission denied" in said
    assert files(tmp_path) == before


def test_a_file_that_may_not_be_read_is_told(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    open_to_all(project / FILE, tmp_path)
    tmp_path.chmod(0o777)
    secret = tmp_path / FILE
    secret.write_bytes((project / FILE).read_bytes())
    secret.chmod(0)
    for command in (["inspect"], ["evaluate", "--data", "images"], ["export", "-o", str(tmp_path / "out.onnx")]):
        with as_nobody():
            code = main([*command, str(secret)])
        said = capsys.readouterr().err
        assert code in (1, 2)
        assert f"{secret}" in said
        assert "Permission denied" in said or "is not readable" in said
    assert list(tmp_path.iterdir()) == [secret]


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect", FILE),
        ("classify", FILE, "images/red/0.png", "--format", "csv"),
        ("evaluate", FILE, "--data", "images", "--json"),
    ],
)
def test_output_that_nobody_takes_is_an_error(project: Path, arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "bitwright.cli", *arguments]
        found = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert found.returncode == 1
    assert found.stderr.endswith("bitwright: error: No space left on device\n")


def test_memory_that_runs_out_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise MemoryError("Unable to allocate 7.0 GiB")

    monkeypatch.setattr("bitwright.artifact_file.reading.read_container", none)
    result = run("inspect", FILE)
    assert (result.code, result.out) == (1, "")
    assert result.err == "bitwright: error: out of memory: Unable to allocate 7.0 GiB\n"


@pytest.mark.parametrize(
    "said", ["[enforce fail] DefaultCPUAllocator: can't allocate memory: 7 bytes", "std::bad_alloc"]
)
def test_memory_that_pytorch_lacks_is_told(run: Run, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    def raising(*_: object) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr("bitwright.artifact_file.reading.read_container", raising)
    result = run("inspect", FILE)
    assert (result.code, result.err) == (1, f"bitwright: error: out of memory: {said}\n")
    said = "another fault"
    with pytest.raises(RuntimeError, match="another fault"):
        run("inspect", FILE)
