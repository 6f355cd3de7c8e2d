"""What every request passes: ids, the token, limits of size and time, the log, the metrics."""

import json
import re
import socket
import time
from contextlib import suppress
from dataclasses import replace

import pytest

from bitwright.serve import connections, logs
from tests.serve.conftest import QUICK, Running, picture

INFER = json.dumps({"inputs": [{"name": "input", "shape": [1, 4, 4, 3], "datatype": "UINT8", "data": [7] * 48}]})


def head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


def test_a_request_keeps_its_id_and_gets_one_where_it_has_none(running: Running):
    assert running.ask("GET", "/v2", x_request_id="trace-7.a:b").headers["x-request-id"] == "trace-7.a:b"
    found = {running.ask("GET", "/v2").headers["x-request-id"] for _ in range(3)}
    assert len(found) == 3
    assert all(re.fullmatch(r"[0-9a-f]{16}", one) for one in found)
    assert running.ask("GET", "/v2", x_request_id="a b\tc").headers["x-request-id"] != "a b\tc"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nix", 404),
        ("GET", "/v2/models/nix", 404),
        ("GET", "/v2/models/nix/ready", 404),
        ("GET", "/v2/models/colours/versions/9", 404),
        ("GET", "/v2/models/colours/infer", 405),
        ("DELETE", "/classify", 405),
        ("POST", "/v2/models/nix/infer", 404),
        ("POST", "/v2/models/colours/versions/9/infer", 404),
        ("GET", "/docs", 404),
    ],
)
def test_every_error_is_json(running, method, path, status):
    found = running.ask(method, path, INFER if method == "POST" else None)
    assert found.status == status
    assert isinstance(found.json["error"], str)


def test_without_the_token_only_the_page_and_the_probes_answer(started):
    server = started(replace(QUICK, token="s3cret"))
    for path in ("/", "/page.js", "/page.css", "/icon.svg", "/v2/health/live", "/v2/health/ready"):
        assert server.ask("GET", path).status == 200
    for method, path in [
        ("GET", "/v2"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
        ("GET", "/v2/models/colours"),
        ("POST", "/classify"),
        ("POST", "/v2/models/colours/infer"),
        ("GET", "/nix"),
    ]:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "s3cret"}, {"authorization": "\xff"}):
            found = server.ask(method, path, **headers)
            assert found.status == 401
            assert found.headers["www-authenticate"] == "Bearer"
        for scheme in ("Bearer", "bearer", "BEARER "):
            assert server.ask(method, path, authorization=f"{scheme} s3cret").status != 401


@pytest.mark.parametrize(
    "path", ["/", "/page.js", "/v2", "/v2/health/ready", "/v2/models/colours", "/metrics", "/openapi.json"]
)
def test_head_is_get_without_its_body(running, path):
    head, get = running.ask("HEAD", path), running.ask("GET", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    if path != "/metrics":  # which has counted the request before it
        assert head.headers["content-length"] == str(len(get.body))


def test_head_of_what_is_not_there_or_only_posted(running):
    assert [running.ask("HEAD", path).status for path in ("/nix", "/classify")] == [404, 405]
    assert 'route="/v2"' in running.ask("GET", "/metrics").body.decode()


def test_a_body_has_a_size_declared_or_not(started):
    server = started(replace(QUICK, max_body=1000))
    assert server.ask("POST", "/classify?model=colours", bytes(1001)).status == 413
    assert server.ask("POST", "/classify?model=colours", picture("red")).status == 200
    chunk = b"1f4\r\n" + bytes(500) + b"\r\n"
    found = server.raw(head("POST", "/classify?model=colours", "Transfer-Encoding: chunked") + 3 * chunk)
    assert found.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in found
    found = server.raw(head("POST", "/classify?model=colours", "Content-Length: 99999999999999999999"))
    assert found[9:12] in (b"413", b"400")


def test_a_body_in_chunks_is_put_together(running):
    data = picture("blue")
    body = (
        b"".join(b"%x\r\n%s\r\n" % (len(data[i : i + 7]), data[i : i + 7]) for i in range(0, len(data), 7))
        + b"0\r\n\r\n"
    )
    found = running.raw(
        head("POST", "/classify?model=colours", "Transfer-Encoding: chunked", "Connection: close") + body
    )
    assert found.startswith(b"HTTP/1.1 200")
    assert b'"blue"' in found


def test_a_slow_body_is_given_up(started):
    server = started(replace(QUICK, body_seconds=0.2))
    begin = time.monotonic()
    found = server.raw(head("POST", "/classify?model=colours", "Content-Length: 100") + b"abc")
    assert found.startswith(b"HTTP/1.1 408")
    assert time.monotonic() - begin < 5
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as drop_by_drop:
        drop_by_drop.sendall(head("POST", "/classify?model=colours", "Content-Length: 10000"))
        drops = 0
        with suppress(OSError):  # the server closes the connection, in one way or another
            while drops < 250:
                drop_by_drop.sendall(b"x")
                drops += 1
                time.sleep(0.02)
        assert drops < 250


def test_bodies_together_have_a_size(started):
    server = started(replace(QUICK, max_held=1500, max_body=1000, body_seconds=5))
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.sendall(head("POST", "/classify?model=colours", "Content-Length: 900"))
        time.sleep(0.1)
        found = server.ask("POST", "/classify?model=colours", bytes(700))
        assert found.status == 429
        assert found.headers["retry-after"] == "1"
    time.sleep(0.1)  # its memory is free again
    assert server.ask("POST", "/classify?model=colours", picture("red") + bytes(500)).status == 200


def test_huge_headers_are_cut_off(running):
    for huge in (
        head("GET", "/v2", "X: " + 100_000 * "x"),
        head("GET", "/v2", *(f"X{i}: y" for i in range(20_000))),
        head("GET", "/" + 100_000 * "x"),
        b"GET /v2 HTTP/1.1\r\nX: " + 100_000 * b"x",
    ):
        assert running.raw(huge).startswith(b"HTTP/1.1 431")
    assert running.ask("GET", "/v2").status == 200


def test_slow_headers_are_cut_off(started, monkeypatch):
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.2)
    server = started()
    for start in (b"", b"GET /v2 HT", b"GET /v2 HTTP/1.1\r\nHost:"):
        begin = time.monotonic()
        assert server.raw(start).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - begin < 5


def test_connections_have_a_number(started, monkeypatch):
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 3)
    server = started()
    held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
    time.sleep(0.1)
    assert server.raw(head("GET", "/v2")).startswith(b"HTTP/1.1 429")
    for connection in held:
        connection.close()
    time.sleep(0.1)
    assert server.ask("GET", "/v2").status == 200


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n"])
def test_what_is_no_http_is_answered_or_cut_off(running, data):
    found = running.raw(data + b"\r\n", seconds=1.0)
    assert found[:12] in (b"HTTP/1.1 400", b"")


def test_metrics_count_by_route_and_never_by_what_a_client_sends(started):
    server = started()
    server.ask("POST", "/v2/models/colours/infer", INFER)
    server.ask("POST", "/v2/models/another/infer", INFER)
    server.ask("POST", "/classify?model=bits", picture("red"))
    server.ask("GET", "/secret-path")
    text = server.ask("GET", "/metrics").body.decode()
    infer = 'bitwright_requests_total{method="POST",route="/v2/models/{model}/infer",status='
    assert infer + '"200"} 1.0' in text
    assert infer + '"404"} 1.0' in text
    assert 'bitwright_images_total{lane="infer",model="colours"} 1.0' in text
    assert 'bitwright_images_total{lane="classify",model="bits"} 1.0' in text
    assert 'bitwright_batch_images_sum{lane="infer",model="colours"} 1.0' in text
    assert "bitwright_held_bytes 0.0" in text
    assert "secret-path" not in text
    assert "another" not in text


def logged(capfd, *wanted: tuple[str, str]) -> list[dict]:
    """The log's line of each (event, request id); a request is logged after its answer has left, so they are waited for."""
    found: dict[tuple[str, str], dict] = {}
    until = time.monotonic() + 20
    while not found.keys() >= set(wanted):
        assert time.monotonic() < until, (wanted, found)
        lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
        found |= {(line["event"], line.get("id")): line for line in lines}
        time.sleep(0.005)
    return [found[name] for name in wanted]


def test_a_request_is_one_line_of_json_in_the_log(started, capfd, monkeypatch):
    monkeypatch.setattr(logs, "_least", logs.LEVELS["info"])
    server = started()
    server.ask("POST", "/classify?model=colours", picture("red"), x_request_id="first")
    server.ask("POST", "/classify?model=colours", b'"\n', x_request_id="second")
    first, second = logged(capfd, ("request", "first"), ("request", "second"))
    assert (first["method"], first["path"], first["status"]) == ("POST", "/classify", 200)
    assert first["bytes_in"] == len(picture("red"))
    assert first["ms"] > 0
    assert second["status"] == 400


def test_a_fault_is_told_to_the_log_and_not_to_the_client(started, capfd, monkeypatch):
    monkeypatch.setattr(logs, "_least", logs.LEVELS["info"])
    server = started()
    monkeypatch.setattr("bitwright.serve.protocol.reply", lambda *_: 1 / 0)
    found = server.ask("POST", "/v2/models/colours/infer", INFER, x_request_id="here")
    assert found.status == 500
    assert "request id here" in found.json["error"]
    assert "division" not in found.json["error"]
    (fault,) = logged(capfd, ("fault", "here"))
    assert "ZeroDivisionError" in fault["traceback"]
