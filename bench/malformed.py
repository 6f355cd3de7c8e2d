"""Requests that are wrong in every way, against a server: `python -m bench.malformed ARTIFACT [--count 10000] [--seed 0]`.

Each must be answered, with a status below 500, or cut off, within SECONDS; and at the end the server must still give an intact
request the engine's answer. Sizes, shapes, dtypes, JSON, binary lengths, forms, encodings, methods, headers, and bodies
that stop half-way.
"""

import argparse
import json
import random
import socket
import subprocess
import sys
import threading
import urllib.request
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from bench.arguments import existing
from bitwright.artifact import Artifact, load
from bitwright.engine import Engine

SECONDS = 15.0
"""More than a server is started with for a body to arrive (`--body-seconds`) and for headers."""
AT_ONCE = 8
_CHUNK = 500
_ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    2**31,
    2**63,
    10**40,
    "",
    "x",
    "\ud800",
    [],
    {},
    [[]],
    [1, "a"],
    {"a": {}},
)
_NAMES = ("input", "INPUT", "", "../x", 3, None)
_TYPES = ("UINT8", "FP32", "INT64", "BYTES", "BF16", "BOOL", "uint8", 8, None)
_PATHS = (
    "/v2/models/m/infer",
    "/v2/models/m/versions/1/infer",
    "/v2/models/nix/infer",
    "/v2/models/%2e%2e/infer",
    "/classify",
    "/classify?top=-3",
    "/classify?model=%ff",
    "/preview",
    "/v2",
    "/v2/repository/index",
    "/metrics",
    "/%00",
    "//",
)
_FORMS = (
    b"",
    b"--b",
    b"--b--\r\n",
    b"--b\r\n\r\nx\r\n--b--\r\n",
    b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n\x00\xff\r\n--b--\r\n',
)
_LENGTHS = (*map(str, _ODD[1:7]), "10", "\xb2")
_METHODS = ("POST", "POST", "POST", "POST", "GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW")
_KINDS = (
    "application/json",
    "multipart/form-data",
    "multipart/form-data; boundary=b",
    "image/png",
    "",
    "text/plain; charset=\xff",
)


def tensor(draw: random.Random, shape: Sequence[int]) -> Any:
    """An input that is wrong somewhere, mostly."""
    count = draw.choice((0, 1, 47, shape[0] * shape[1] * shape[2], 5000))
    found: dict[str, Any] = {
        "name": draw.choice(_NAMES) if draw.random() < 0.3 else "input",
        "datatype": draw.choice(_TYPES) if draw.random() < 0.5 else "UINT8",
        "shape": draw.choice((*_ODD, [1, *shape], [0, *shape], [-1, *shape], [2**62, *shape], list(shape), [1] * 50)),
        "data": draw.choice((*_ODD, [draw.choice((0, 255, 256, -1, 0.5, "a", None))] * count, [0] * count)),
    }
    if draw.random() < 0.4:
        found["parameters"] = draw.choice((*_ODD, {"binary_data_size": draw.choice((*_ODD, count))}))
    for key in list(found):
        if draw.random() < 0.1:
            del found[key]
    return found if draw.random() < 0.9 else draw.choice(_ODD)


def body(draw: random.Random, shape: Sequence[int]) -> bytes:
    way = draw.randrange(7)
    if way == 0:
        return draw.randbytes(draw.choice((0, 1, 100, 70_000)))
    if way == 1:
        return b"[" * draw.choice((10, 100_000))
    if way == 2:
        return json.dumps({"images": draw.choice((*_ODD, ["AA=="] * 400, ["%%"], ["http://127.0.0.1/"], [3]))}).encode()
    if way == 3:
        return draw.choice(_FORMS)
    request = {"inputs": [tensor(draw, shape) for _ in range(draw.choice((0, 1, 1, 1, 2)))]}
    for key in ("id", "outputs", "parameters"):
        if draw.random() < 0.3:
            request[key] = draw.choice((*_ODD, [{"name": draw.choice(("logits", "x", 3))}] * draw.choice((1, 2))))
    text = json.dumps(request).encode()
    return text[: draw.randrange(len(text))] if way == 4 else text + draw.randbytes(draw.choice((0, 0, 48, 3072)))


def malformed(draw: random.Random, shape: Sequence[int]) -> bytes:
    """The bytes of a request."""
    content = body(draw, shape)
    lines = [f"{draw.choice(_METHODS)} {draw.choice(_PATHS) if draw.random() < 0.6 else _PATHS[0]} HTTP/1.1", "Host: x"]
    lines.append(f"Content-Type: {draw.choice(_KINDS)}")
    if draw.random() < 0.3:
        lines.append(f"Inference-Header-Content-Length: {draw.choice((*_LENGTHS, str(len(content))))}")
    if draw.random() < 0.1:
        lines.append(f"Content-Encoding: {draw.choice(('gzip', 'deflate', 'br', ''))}")
    if draw.random() < 0.05:
        lines += [f"X-{i}: {'y' * draw.choice((1, 3000))}" for i in range(draw.choice((1, 200)))]
    if draw.random() < 0.1:
        lines.append("Transfer-Encoding: chunked")
        content = draw.choice(
            (b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content), content, b"zz\r\n", b"fffffffffffffffff\r\n")
        )
    else:
        declared = draw.choice((-5, 10, 2**40)) if draw.random() < 0.08 else 0
        lines.append(f"Content-Length: {max(0, len(content) + declared) if declared < 2**40 else declared}")
    if draw.random() < 0.02:
        lines.append("Content-Length: 1")
    lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + content


def answered(port: int, request: bytes) -> str:
    """The status; "cut off" where the connection was closed without one, "hangs" where nothing happens."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        found = b""
        try:
            connection.sendall(request)
            while more := connection.recv(65536):
                found += more
        except (ConnectionResetError, BrokenPipeError):
            pass
        except TimeoutError:
            return "hangs"
    return found[9:12].decode("latin-1") or "cut off"


def attack(port: int, shape: Sequence[int], count: int, seed: int = 0) -> Counter[str]:
    """What became of so many malformed requests, by status, AT_ONCE at a time; AssertionError for a fault of the server."""
    draw, found = random.Random(seed), Counter[str]()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(0, count, _CHUNK):
            requests = [malformed(draw, shape) for _ in range(start, min(start + _CHUNK, count))]
            for number, status in enumerate(pool.map(partial(answered, port), requests)):
                assert status == "cut off" or status < "500", (
                    f"request {start + number} of seed {seed}: {status}: {requests[number][:2000]!r}"
                )
                found[status] += 1
    return found


def still_answers(port: int, artifact: Artifact) -> None:
    """AssertionError unless an intact request gets the engine's logits."""
    image = np.random.default_rng(0).integers(0, 256, (1, *artifact.preprocess.shape), np.uint8)
    tensor = {"name": "input", "datatype": "UINT8", "shape": list(image.shape), "data": image.ravel().tolist()}
    url = f"http://127.0.0.1:{port}/v2/models/m/infer"
    with urllib.request.urlopen(url, json.dumps({"inputs": [tensor]}).encode(), timeout=SECONDS) as answer:
        logits = np.array(json.load(answer)["outputs"][0]["data"], np.float32)
    assert logits.tobytes() == Engine(artifact)(image).tobytes(), (
        "an intact request has another answer than the engine's"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=existing)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    artifact = load(given.artifact)
    command = [
        sys.executable,
        "-m",
        "bitwright.cli",
        "serve",
        f"m={given.artifact}",
        "--port",
        "0",
        "--body-seconds",
        "0.3",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        events = (json.loads(line) for line in server.stderr)
        port = int(next(event["url"] for event in events if event["event"] == "listening").rpartition(":")[2])
        reader = threading.Thread(target=deque, args=(server.stderr, 0))  # a full pipe would stop the server
        reader.start()
        try:
            print(dict(sorted(attack(port, artifact.preprocess.shape, given.count, given.seed).items())))
            still_answers(port, artifact)
        finally:
            server.terminate()
            reader.join()


if __name__ == "__main__":
    main()
