"""Requests for which there is no room are refused at the connection, which stays, and nobody inside hears of them."""

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import uvicorn
from uvicorn.server import ServerState

from bitwright.serve import connections, lane
from bitwright.serve.api import Api
from bitwright.serve.door import State
from bitwright.serve.metrics import Metrics
from bitwright.serve.models import Models, ServedModel
from bitwright.serve.shedding import Shedding
from tests.serve.conftest import QUICK, Running

PATH = "/v2/models/colours/infer"
BODY = json.dumps(
    {"inputs": [{"name": "input", "shape": [1, 4, 4, 3], "datatype": "UINT8", "data": list(range(48))}]}
).encode()


def request(*headers: str, body: bytes = BODY, path: str = PATH) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def metric(server: Running, start: str) -> float:
    lines = server.ask("GET", "/metrics").body.decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(start))


def answers(connection: socket.socket, count: int) -> list[tuple[int, dict[str, str], bytes]]:
    """So many answers that come over a connection."""
    data, found = b"", list[tuple[int, dict[str, str], bytes]]()
    connection.settimeout(10)
    while len(found) < count:
        head, end, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", 0))
        if end and len(rest) >= length:
            found.append((int(first.split()[1]), headers, rest[:length]))
            data = rest[length:]
        else:
            more = connection.recv(65536)
            assert more, f"the connection ends after {len(found)} answers"
            data += more
    return found


@pytest.fixture
def full(started, monkeypatch) -> Iterator[Running]:
    """A server whose engine stands still with one request, while two wait, which is all that may; it ends well."""
    go, inside = threading.Event(), list[str]()
    real, api = ServedModel._infer, Api.infer

    def standing(self, jobs, alone):
        go.wait(20)
        return real(self, jobs, alone)

    async def counted(self, scope, model, version=None):
        inside.append(model)
        return await api(self, scope, model, version)

    monkeypatch.setattr(ServedModel, "_infer", standing)
    monkeypatch.setattr(Api, "infer", counted)
    server = started(replace(QUICK, queue=2, max_body=4096))
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(("127.0.0.1", server.port))) for _ in range(3)]
        held[0].sendall(request())
        while metric(server, "bitwright_batch_images_count") < 1:
            time.sleep(0.005)
        for connection in held[1:]:
            connection.sendall(request())
        while metric(server, "bitwright_queued_images") < 2:
            time.sleep(0.005)
        yield server
        assert inside.count("colours") == 3
        go.set()
        for connection in held:
            ((status, _, _),) = answers(connection, 1)
            assert status == 200


def test_the_answer_says_why_and_when_to_come_again(full):
    found = full.ask("POST", PATH, BODY, x_request_id="mine")
    assert found.status == 429
    assert found.json == {"error": "too busy: 2 images are waiting; try again later"}
    assert int(found.headers["retry-after"]) >= 1
    assert found.headers["x-request-id"] == "mine"
    assert found.headers["content-type"] == "application/json"


def test_the_connection_stays_and_what_needs_no_engine_is_answered(full):
    with socket.create_connection(("127.0.0.1", full.port)) as connection:
        get = b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n"
        connection.sendall(request() + request() + get)
        found = answers(connection, 3)
        connection.sendall(request())
        found += answers(connection, 1)
    assert [status for status, _, _ in found] == [429, 429, 200, 429]
    assert len({headers["x-request-id"] for _, headers, _ in found}) == 4
    assert metric(full, 'bitwright_requests_total{method="POST",route="/v2/models/{model}/infer",status="429"}') == 3


def test_a_client_that_ends_is_let_go(full):
    assert re.search(rb"^connection: close\r$", full.raw(request("Connection: close")), re.MULTILINE)


def test_the_rest_of_a_body_has_a_time_and_a_size(full, monkeypatch):
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.2)
    assert full.raw(request()[:-5]).startswith(b"HTTP/1.1 408")
    assert full.raw(request(body=bytes(5000))).startswith(b"HTTP/1.1 413")


def test_other_models_and_unknown_ones_are_not_refused_for_it(full):
    assert full.ask("POST", PATH.replace("colours", "none"), BODY).status == 404
    assert full.ask("POST", "/classify?model=colours", b"no picture").status == 400


def test_what_arrives_at_once_counts_before_it_waits(models):
    async def arriving() -> list[bool]:
        metrics = Metrics()
        shedding = Shedding(Models(models, replace(QUICK, queue=2), metrics), metrics)
        found = [shedding.check(b"POST", PATH.encode()) is None for _ in range(4)]
        await asyncio.sleep(0)
        return [*found, shedding.check(b"POST", PATH.encode()) is None, shedding.check(b"GET", b"/v2") is None]

    assert asyncio.run(arriving()) == [True, True, False, False, True, True]


def test_of_an_empty_lane_one_job_of_any_size_is_taken():
    limits = lane.Limits(1, 4, queue=2, patience_seconds=1.0)
    empty = lane.Lane[np.ndarray, np.ndarray](lambda jobs, alone: jobs, cast(Any, None), limits, cast(Any, None))
    assert empty.full(images=5) is None
    assert empty.full(coming=1) is None
    assert empty.full(coming=2) is not None


class Unread:
    """A transport whose client reads nothing; its methods are those that a protocol calls."""

    def __init__(self) -> None:
        self.written, self.is_heard = b"", True

    def write(self, data: bytes) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.is_heard = False

    def resume_reading(self) -> None:
        self.is_heard = True

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        """It stays."""

    def close(self) -> None:
        """Nor does it end."""

    def get_extra_info(self, name: str) -> None:
        """Nothing is known of it."""


async def _nobody(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("a request was let through")


def test_whoever_reads_no_refusals_is_not_heard(models):
    async def asking() -> list[bool]:
        metrics = Metrics()
        shedding = Shedding(Models(models, replace(QUICK, queue=1), metrics), metrics)
        assert shedding.check(b"POST", PATH.encode()) is None
        config = uvicorn.Config(_nobody, lifespan="off", log_config=None, ws="none", interface="asgi3")
        config.load()
        protocol = connections.BoundedProtocol(
            config=config, server_state=ServerState(), app_state={}, shedding=shedding, state=State(), max_body=4096
        )
        transport = Unread()
        protocol.connection_made(cast(Any, transport))
        protocol.data_received(request())
        found = [transport.is_heard]
        protocol.pause_writing()
        protocol.data_received(request())
        found.append(transport.is_heard)
        assert transport.written.count(b"HTTP/1.1 429") == 2
        protocol.resume_writing()
        protocol._unset_keepalive_if_required()
        protocol.connection_lost(None)
        return [*found, transport.is_heard]

    assert asyncio.run(asking()) == [True, False, True]
