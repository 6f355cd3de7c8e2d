"""The command itself: what it refuses to start with, and an end that loses no request."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bitwright.signing_keys import generate
from tests.serve.conftest import Running

INFER = json.dumps(
    {"inputs": [{"name": "input", "shape": [1, 4, 4, 3], "datatype": "UINT8", "data": [7] * 48}]}
).encode()
COMMAND = (sys.executable, "-m", "bitwright.cli", "serve")


def refused(*arguments: object, code: int = 2, **environment: str) -> str:
    """What the command says on stderr when it refuses to start, with this exit code."""
    command = [*COMMAND, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, **environment}, check=False
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_file_that_nobody_has_signed_is_not_served(models, tmp_path):
    pytest.importorskip("cryptography")
    generate(tmp_path / "key")
    said = refused(models["colours"], "--require-signature", "--trust", tmp_path / "key.pub", code=1)
    assert "is not signed: there is no" in said


def test_a_port_that_is_taken_is_named(models):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(models["colours"], "--port", port, code=1)
    assert f"127.0.0.1 port {port}" in said
    assert "choose --host and --port" in said


def test_an_empty_token_is_no_token(models):
    assert "$BITWRIGHT_TOKEN" in refused(models["colours"], "--port", 0, BITWRIGHT_TOKEN="")


def test_the_server_runs_without_torch_and_without_what_is_for_show(models):
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'rich', 'torchvision')))\n"
        "from pathlib import Path\n"
        "from bitwright.serve import Settings\n"
        "from bitwright.serve.running import make_server\n"
        "make_server({'m': Path(sys.argv[1])}, Settings(threads=1)); print('made')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(models["colours"])], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "made", done.stderr


class Client(threading.Thread):
    """Sends requests over one connection until the server closes it after an answer."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.answered, self.lost = 0, 0

    def run(self) -> None:
        head = f"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(INFER)}\r\n\r\n".encode()
        with self.connection:
            while True:
                self.connection.sendall(head + INFER)
                answer = self._answer()
                if b'"outputs"' not in answer:
                    self.lost += 1
                    return
                self.answered += 1
                if b"connection: close" in answer:
                    return

    def _answer(self) -> bytes:
        found = b""
        while b'"outputs"' not in found or not found.endswith(b"]}"):
            more = self.connection.recv(65536)
            if not more:
                break
            found += more
        return found


def started(model: Path) -> tuple["subprocess.Popen[str]", int]:
    command = [*COMMAND, f"m={model}", "--port", "0", "--threads", "1", "--drain-seconds", "0.5", "--log-level", "info"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    for line in server.stderr:
        event = json.loads(line)
        if event["event"] == "listening":
            return server, int(event["url"].rpartition(":")[2])
    raise AssertionError("the server has not said where it listens")


def test_sigterm_under_load_loses_no_request(models):
    server, port = started(models["colours"])
    assert server.stderr is not None
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(server.stderr or ()))
    reader.start()
    clients = [Client(port) for _ in range(8)]
    for client in clients:
        client.start()
    time.sleep(0.5)
    server.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    assert Running.ask(Running(None, port), "GET", "/v2/health/ready").status == 503  # type: ignore[arg-type]
    for client in clients:
        client.join(20)
    assert server.wait(20) == 0
    reader.join(20)
    server.stderr.close()
    assert [client.lost for client in clients] == [0] * 8
    assert all(client.answered > 0 for client in clients)
    events = [json.loads(line) for line in lines]
    answered = sum(event["event"] == "request" and event["status"] == 200 for event in events)
    assert answered == sum(client.answered for client in clients)
    assert [event["event"] for event in events if event["event"] != "request"] == ["draining", "ended"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_at_once(models, number):
    server, _ = started(models["colours"])
    server.send_signal(number)
    time.sleep(0.05)
    server.send_signal(number)
    assert server.wait(10) == 0
    assert server.stderr is not None
    server.stderr.close()
