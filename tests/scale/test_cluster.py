"""A cluster that cannot be had is an error of ours, and told at once: Ray would try for a quarter of an hour."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bitwright.cli import main
from bitwright.errors import EngineError
from bitwright.scale.cluster import cluster

pytest.importorskip("ray", reason="needs ray: pip install 'bitwright[ray]'")


@pytest.fixture
def taken() -> Iterator[str]:
    """The address of somebody who says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed() -> str:
    """An address that nobody is at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def refused(address: str) -> str:
    with pytest.raises(EngineError) as found, cluster(address):
        pass
    return str(found.value)


def test_addresses_without_a_cluster(taken: str, closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitwright.scale.cluster.PATIENCE_S", 0.1)
    assert refused(taken) == f"cannot reach Ray at {taken}: timed out"
    assert refused(closed).startswith(f"cannot reach Ray at {closed}: ")
    assert "Connection refused" in refused(f"ray://{closed}")
    assert "Invalid address format" in refused("nonsense")
    monkeypatch.setenv("RAY_ADDRESS", closed)
    assert "Connection refused" in refused("auto")


def test_a_server_of_another_kind(taken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Http(socket.socket):
        def recv(self, *_: Any) -> bytes:
            return b"HTTP/1.1 505"

    monkeypatch.setattr("socket.socket", Http)
    assert refused(taken) == f"cannot reach Ray at {taken}: somebody else listens there"


def test_no_place_to_start_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "file" / "sub"))
    assert refused("here").startswith("cannot start Ray here: ")


@pytest.mark.parametrize("command", ["sensitivity", "search"])
def test_the_command_line_ends_as_with_any_error(
    command: str, closed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.test_ranks import DESCRIBED

    options = ["tests.test_ranks:network", "--data", "digits[:64]", *DESCRIBED, "--no-cache"]
    output = ["--force", "-o", str(tmp_path / "found")] if command == "search" else []
    assert main([command, *options, "--ray", closed, *output]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert f"bitwright: error: cannot reach Ray at {closed}: " in err
    assert list(tmp_path.iterdir()) == []
