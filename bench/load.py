"""A load generator for `bench.serve`: HTTP/1.1 over connections that stay open, cheap enough to share two cores with a server.

`closed`: each connection sends its next request when the answer to the last one is there. `paced`: requests are due at a fixed
rate, whatever the answers do; one that finds no connection free is counted as unsent.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

Check = Callable[[int, bytes], bool]
"""Whether the body that answers request number i is right."""


def request(path: str, body: bytes, headers: dict[str, str] | None = None, host: str = "localhost") -> bytes:
    """The bytes of a POST."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Load:
    """What came back."""

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    wrong: int = 0
    unsent: int = 0
    took: float = 0.0

    @property
    def rate(self) -> float:
        """Requests answered with 200, per second."""
        return self.statuses["200"] / self.took

    def percentile(self, share: float) -> float:
        """Milliseconds from sending to the answer, of those answered with 200."""
        return 1e3 * float(np.percentile(self.seconds, share)) if self.seconds else float("nan")

    def line(self) -> str:
        statuses = ", ".join(f"{n} x {status}" for status, n in sorted(self.statuses.items()))
        unsent = f", {self.unsent} unsent" if self.unsent else ""
        return (
            f"{self.rate:,.0f} requests/s, p50 {self.percentile(50):.2f} ms, p99 {self.percentile(99):.2f} ms; "
            f"{statuses}{unsent}, {self.wrong} wrong"
        )


class Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, load: Load, requests: Sequence[bytes], check: Check) -> None:
        self._load, self._requests, self._check = load, requests, check
        self.transport: asyncio.Transport
        self.free: Callable[[Connection], None] = lambda connection: None
        self.lost = False
        self._number = 0
        self._since = 0.0
        self._data = bytearray()
        self.busy = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self.busy:
            self._load.statuses["no answer"] += 1

    def send(self, number: int) -> None:
        self._number, self._since, self.busy = number, perf_counter(), True
        self.transport.write(self._requests[number])

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        at = self._data.find(b"content-length: ", 0, end) + 16
        length = int(self._data[at : self._data.find(b"\r", at)])
        if len(self._data) < end + 4 + length:
            return
        status, body = self._data[9:12].decode(), bytes(self._data[end + 4 :])
        self._data.clear()
        self.busy = False
        self._load.statuses[status] += 1
        if status == "200":
            self._load.seconds.append(perf_counter() - self._since)
            self._load.wrong += not self._check(self._number, body)
        self.free(self)


async def _connected(port: int, count: int, load: Load, requests: Sequence[bytes], check: Check) -> list[Connection]:
    loop = asyncio.get_running_loop()
    found = []
    for _ in range(count):
        _, connection = await loop.create_connection(lambda: Connection(load, requests, check), "127.0.0.1", port)
        found.append(connection)
    return found


async def closed(
    port: int, requests: Sequence[bytes], check: Check, connections: int, seconds: float, most: int | None = None
) -> Load:
    """As fast as the answers come, for so long or for `most` requests."""
    load = Load()
    clients = await _connected(port, connections, load, requests, check)
    done = asyncio.Event()
    begin = perf_counter()
    sent = 0

    def again(connection: Connection) -> None:
        nonlocal sent
        if perf_counter() - begin < seconds and (most is None or sent < most):
            sent += 1
            connection.send(sent % len(requests))
        elif not any(client.busy for client in clients):
            done.set()

    for client in clients:
        client.free = again
        again(client)
    await asyncio.wait_for(done.wait(), seconds + 30)
    load.took = perf_counter() - begin
    for client in clients:
        client.transport.close()
    return load


async def paced(
    port: int, requests: Sequence[bytes], check: Check, connections: int, seconds: float, rate: float
) -> Load:
    """`rate` requests a second."""
    load = Load()
    clients = await _connected(port, connections, load, requests, check)
    free = deque(clients)  # in turn: a server may close a connection that lies idle
    for client in clients:
        client.free = free.append
    begin = perf_counter()
    due = 0
    while (now := perf_counter() - begin) < seconds:
        while due < now * rate:
            due += 1
            while free and free[0].lost:
                free.popleft()
            if free:
                free.popleft().send(due % len(requests))
            else:
                load.unsent += 1
        await asyncio.sleep(0.001)
    load.took = perf_counter() - begin
    for _ in range(3000):
        if not any(client.busy for client in clients):
            break
        await asyncio.sleep(0.01)
    load.statuses["no answer"] += sum(client.busy for client in clients)
    load.statuses = +load.statuses
    for client in clients:
        client.busy = False
        client.transport.close()
    return load
