"""What is refused at a connection already: requests to infer, or to classify, for which there is no room.

Refused behind the door, a request costs nearly what its answer would, so that a server that is asked for twice what it can
bear gives half of its answers. Here it has cost its headers alone. The decision is the lane's; what was let through since the
event loop last saw to its tasks counts as waiting.
"""

import asyncio
import re
import urllib.parse
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from prometheus_client import Counter

from bitwright.serve.lane import Lane
from bitwright.serve.logs import log
from bitwright.serve.metrics import Metrics
from bitwright.serve.models import Models
from bitwright.serve.refusal import JSON, Refusal

_PATH = re.compile(rb"/v2/models/([^/?#]+)(?:/versions/[^/?#]+)?/infer|/classify")


@dataclass(frozen=True)
class Refused:
    """A request that is not let through: how its answer begins, and what is said of it."""

    path: str
    reason: str
    head: bytes
    body: bytes

    def answer(self, request_id: str, is_last: bool) -> bytes:
        """The bytes that go out; `is_last`: the connection ends then."""
        end = b"\r\nconnection: close" if is_last else b""
        return b"%b\r\nx-request-id: %b%b\r\n\r\n%b" % (self.head, request_id.encode(), end, self.body)


class Shedding:
    """Says which requests are not let through."""

    def __init__(self, models: Models, metrics: Metrics) -> None:
        self._models, self._metrics = models, metrics
        self._passed: dict[Lane[Any, Any], int] = {}
        self._counts: dict[str, Counter] = {}

    def check(self, method: bytes, url: bytes) -> Refused | None:
        """Why a request is refused; None where it is let through, or is none that waits for an engine."""
        lane = self._lane(url) if method == b"POST" else None
        if lane is None:
            return None
        if (refusal := lane.full(self._passed.get(lane, 0))) is None:
            if not self._passed:
                asyncio.get_running_loop().call_soon(self._passed.clear)  # then they are in the lane
            self._passed[lane] = self._passed.get(lane, 0) + 1
            return None
        return _refused(url, str(refusal), tuple(refusal.headers.items()))

    def note(self, refused: Refused, request_id: str, size: int) -> None:
        """Count a refused request, and write its line of the log."""
        route = "/classify" if refused.path == "/classify" else "/v2/models/{model}/infer"
        if route not in self._counts:
            self._counts[route] = self._metrics.requests.labels(route, "POST", 429)
        self._counts[route].inc()
        log(
            "request",
            id=request_id,
            method="POST",
            path=refused.path,
            status=429,
            bytes_in=size,
            bytes_out=len(refused.body),
            reason=refused.reason,
        )

    def _lane(self, url: bytes) -> Lane[Any, Any] | None:
        found = _PATH.fullmatch(url)
        if found is None:
            return None
        name = None if found[1] is None else urllib.parse.unquote_to_bytes(found[1]).decode("latin-1")
        try:
            served = self._models.get(name)
        except Refusal:
            return None  # the application says why
        return served.classify if name is None else served.infer


@lru_cache(maxsize=256)
def _refused(url: bytes, reason: str, headers: tuple[tuple[str, str], ...]) -> Refused:
    """What is said again and again is put together once."""
    body = Refusal(429, reason).body()
    lines = ["HTTP/1.1 429 Too Many Requests", f"content-type: {JSON}", f"content-length: {len(body)}"]
    lines += [f"{name.lower()}: {value}" for name, value in headers]
    return Refused(url.decode("latin-1")[:200], reason, "\r\n".join(lines).encode(), body)
