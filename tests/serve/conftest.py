"""A model made by hand, and servers that run in a thread of the test's process."""

import http.client
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bitwright as bw
from bitwright.graph import Graph, Node, Value
from bitwright.qtensor import QType

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from bitwright.serve import Settings
from bitwright.serve.running import Server, listening, make_server

QUICK = Settings(threads=1, drain_seconds=0.0, reload_seconds=0.0)


def colours(times: float = 10.0, encoder: str | None = None, names=("red", "green", "blue")) -> bw.Artifact:
    """The mean of each colour of a 4x4 picture, times ten, as the logits of three classes."""
    codes = QType("uint8", 1 / 255, 0)
    if encoder is None:
        image = QType("uint8", (1 / 255,) * 3, (0, 0, 0), (0.0, 0.0, 0.0))
        table = np.stack([np.arange(256, dtype=np.uint8)] * 3)
    else:
        image = QType("bit", (1.0,) * 3, (0, 0, 0), (0.0, 0.0, 0.0))
        table = np.stack([np.array([0, 255] + [0] * 254, np.uint8)] * 3)
    nodes = (
        Node("codes", "table", ("input",), {}, {"table": table}),
        Node("mean", "global_avg_pool2d", ("codes",), {}, {"m": np.array([1 / 16], np.float32)}),
        Node("flat", "reshape", ("mean",), {"shape": (3,)}),
        Node("logits", "dequantize", ("flat",), {}, {"m": np.array([times / 255], np.float32)}),
    )
    shapes = {"codes": (3, 4, 4), "mean": (3, 1, 1), "flat": (3,)}
    values = {"input": Value((3, 4, 4), image), "logits": Value((3,))}
    values |= {name: Value(shape, codes) for name, shape in shapes.items()}
    return bw.Artifact(Graph(nodes, values, "logits"), bw.Preprocess(size=4, encoder=encoder), names)


def picture(colour: str, kind: str = "PNG", size: tuple[int, int] = (9, 7)) -> bytes:
    """An image file of one colour."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Running:
    """A server in a thread."""

    def __init__(self, server: Server, port: int) -> None:
        self.server, self.port = server, port

    def ask(self, method: str, path: str, body: bytes | str | None = None, **headers: str) -> Answer:
        """One request over a connection of its own; the underscores of headers' names stand for hyphens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            found = connection.getresponse()
            return Answer(found.status, {k.lower(): v for k, v in found.getheaders()}, found.read())
        finally:
            connection.close()

    def raw(self, data: bytes, seconds: float = 10.0) -> bytes:
        """What comes back for these bytes until the server closes the connection, or nothing more comes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            connection.sendall(data)
            found = b""
            try:
                while more := connection.recv(65536):
                    found += more
            except (TimeoutError, ConnectionResetError):
                pass
            return found


@contextmanager
def serving(models: dict[str, Path], settings: Settings = QUICK) -> Iterator[Running]:
    """A server of these models, on any port."""
    with listening("127.0.0.1", 0) as listener:
        server = make_server(models, settings)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            until = time.monotonic() + 20
            while not server.started:
                assert time.monotonic() < until, "the server does not start"
                time.sleep(0.005)
            yield Running(server, listener.getsockname()[1])
        finally:
            server.drain()
            thread.join(20)
            assert not thread.is_alive(), "the server does not end"


@pytest.fixture(scope="package")
def models(tmp_path_factory) -> dict[str, Path]:
    """Two artifacts, of pixels and of bits."""
    folder = tmp_path_factory.mktemp("models")
    paths = {"colours": folder / "colours.bw.safetensors", "bits": folder / "bits.bw.safetensors"}
    colours().save(paths["colours"])
    colours(encoder="threshold:128").save(paths["bits"])
    return paths


@pytest.fixture(scope="package")
def running(models) -> Iterator[Running]:
    """A server of both. Tests must leave it as it is."""
    with serving(models) as server:
        yield server


@pytest.fixture
def started(models) -> Iterator[Callable[..., Running]]:
    """Starts a server with other settings, or other models."""
    with ExitStack() as stack:

        def start(settings: Settings = QUICK, paths: dict[str, Path] | None = None) -> Running:
            return stack.enter_context(serving(models if paths is None else paths, settings))

        yield start
