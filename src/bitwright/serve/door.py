"""What every request passes, in plain ASGI: its id, the token, a body within limits, a line in the log, the metrics.

The body is read here, whole, before anything looks at it: within a size, within a time, and within what all requests together
may hold in memory. Inside, nothing waits for a client any more.
"""

import asyncio
import hmac
import logging
import re
import secrets
from time import perf_counter
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bitwright.serve.logs import log
from bitwright.serve.metrics import Metrics
from bitwright.serve.refusal import Refusal
from bitwright.serve.settings import Settings

OPEN_PATHS = frozenset(("/", "/page.js", "/page.css", "/icon.svg", "/v2/health/live", "/v2/health/ready"))
"""What needs no token: the probes, and the page, which knows nothing by itself."""
CLIENT_GONE = 499
_REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"))


def request_id(sent: str) -> str:
    """The id that a client has sent for its request, where it is fit to be one; else a new one."""
    return sent if _REQUEST_ID.fullmatch(sent) else secrets.token_hex(8)


class _Gone(Exception):
    """The client has closed the connection."""


class State:
    """What the server's parts tell each other: whether it is about to end."""

    draining = False


class Door:
    """The outermost application. What it hands inwards has its whole body in `scope["state"]["body"]`."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics, state: State) -> None:
        self._app, self._settings, self._metrics, self._state = app, settings, metrics, state
        self._held = 0
        self._token = None if settings.token is None else settings.token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await _Request(self, scope, receive, send).answer()

    def check_token(self, headers: Headers, path: str) -> None:
        """Refusal, 401, where a token is due and another, or none, is sent; the comparison takes the same time for all."""
        if self._token is None or path in OPEN_PATHS:
            return
        scheme, _, sent = headers.get("authorization", "").partition(" ")  # a scheme's case means nothing (RFC 9110)
        if not hmac.compare_digest(sent.lstrip(" ").encode("latin-1"), self._token) or scheme.lower() != "bearer":
            raise Refusal(
                401,
                "expected the header Authorization: Bearer TOKEN, with this server's token",
                {"WWW-Authenticate": "Bearer"},
            )

    def hold(self, size: int) -> None:
        """Count bytes that are kept for a request; Refusal, 429, where all requests together hold too much."""
        if self._held + size > self._settings.max_held:
            raise Refusal(
                429, "too busy: too many bytes of requests are in memory; try again later", {"Retry-After": "1"}
            )
        self._held += size
        self._metrics.held_bytes.set(self._held)

    def release(self, size: int) -> None:
        self._held -= size
        self._metrics.held_bytes.set(self._held)

    @property
    def settings(self) -> Settings:
        return self._settings

    @property
    def draining(self) -> bool:
        return self._state.draining

    async def inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        self._metrics.requests.labels(route, method if method in _METHODS else "other", status).inc()
        self._metrics.seconds.labels(route).observe(seconds)


class _Request:
    """One request on its way in and out."""

    def __init__(self, door: Door, scope: Scope, receive: Receive, send: Send) -> None:
        self._door, self._scope, self._receive, self._send = door, scope, receive, send
        self._begin = perf_counter()
        self._headers = Headers(scope=scope)
        self._id = request_id(self._headers.get("x-request-id", ""))
        self._status, self._bytes_out, self._held = 0, 0, 0
        self._whole = False
        self._reason: str | None = None

    async def answer(self) -> None:
        scope = self._scope
        state = scope.setdefault("state", {})
        state["request_id"] = self._id
        try:
            self._door.check_token(self._headers, scope["path"])
            state["body"] = await self._body()
            await self._door.inside(scope, self._receive, self._out)
        except _Gone:
            self._status = CLIENT_GONE
        except Refusal as refusal:
            self._reason = str(refusal)
            await refusal.response()(scope, self._receive, self._out)
        except Exception as error:  # noqa: BLE001  # one request's fault must not be another's
            log("fault", logging.ERROR, error, id=self._id, path=scope["path"])
            if not self._status:
                fault = Refusal(500, f"a fault of the server; its log has it under the request id {self._id}")
                await fault.response()(scope, self._receive, self._out)
        finally:
            if self._held:
                self._door.release(self._held)
            self._note()

    async def _body(self) -> bytes:
        """All of it. Refusal: 413, too large; 408, too slow; 429, other requests hold the memory."""
        declared = self._headers.get("content-length")
        if declared is None and "transfer-encoding" not in self._headers:
            self._whole = True
            return b""
        limit = self._door.settings.max_body
        if declared is not None:
            self._keep(int(declared) if declared.isascii() and declared.isdigit() else limit + 1, limit)
        until = asyncio.get_running_loop().time() + self._door.settings.body_seconds
        pieces, size, more = list[bytes](), 0, True
        while more:
            message = await self._message(until)
            pieces.append(message["body"])
            size += len(message["body"])
            self._keep(max(0, size - self._held), limit)
            more = message.get("more_body", False)
        self._whole = True
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _keep(self, size: int, limit: int) -> None:
        if self._held + size > limit:
            raise Refusal(413, f"the body has more than {limit} bytes, the most that this server takes")
        self._door.hold(size)
        self._held += size

    async def _message(self, until: float) -> Message:
        try:
            async with asyncio.timeout_at(until):
                message = await self._receive()
        except TimeoutError:
            seconds = self._door.settings.body_seconds
            raise Refusal(408, f"the body has not arrived within {seconds:g} s") from None
        if message["type"] == "http.disconnect":
            raise _Gone
        return message

    async def _out(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message["headers"] = [*message["headers"], (b"x-request-id", self._id.encode())]
            if self._door.draining or not self._whole:  # what is left of a body must not be read as the next request
                message["headers"].append((b"connection", b"close"))
        else:
            self._bytes_out += len(message.get("body", b""))
        await self._send(message)

    def _note(self) -> None:
        scope, seconds = self._scope, perf_counter() - self._begin
        state: dict[str, Any] = scope["state"]
        route = str(state.get("route") or getattr(scope.get("route"), "path", "other"))
        self._door.count(route, scope["method"], self._status, seconds)
        reason = state.get("reason", self._reason)
        fields: dict[str, Any] = {"reason": reason} if reason else {}
        log(
            "request",
            id=self._id,
            method=scope["method"],
            path=scope["path"][:200],
            status=self._status,
            ms=round(1e3 * seconds, 3),
            bytes_in=self._held,
            bytes_out=self._bytes_out,
            **fields,
        )
