"""What a connection may cost before there is a request: uvicorn's protocol with limits that it leaves out.

Headers have a size and a time, an answer may lie unread only for so long, and there is a most of connections. Whoever goes
beyond is answered, where that is possible, and cut off. A request for which there is no room is refused here as well
(`shedding.py`): nobody inside hears of it, its body is thrown away, and the connection stays.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bitwright.serve.door import State, request_id
from bitwright.serve.settings import HEADER_SECONDS, MAX_CONNECTIONS, MAX_HEADER_BYTES, WRITE_SECONDS
from bitwright.serve.shedding import Refused, Shedding

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_LONG = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_MANY = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class _HeadersTooLarge(Exception):
    """Stops the parser."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, shedding: Shedding, state: State, max_body: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._shedding, self._state, self._max_body = shedding, state, max_body
        self._refused: Refused | None = None
        self._thrown_away = 0
        self._in_head = True
        self._head_bytes = 0  # that came without completing the headers
        self._field_bytes = 0  # of the headers' names and values
        self._slow: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self._end(_TOO_MANY)
        else:
            self._slow = self.loop.call_later(HEADER_SECONDS, self._end, _TOO_SLOW)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._slow, self._unread):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEADER_BYTES:
                self._end(_TOO_LARGE)
            elif self._slow is None:
                self._slow = self.loop.call_later(HEADER_SECONDS, self._end, _TOO_SLOW)
        elif self._refused is not None and self._slow is None:
            self._slow = self.loop.call_later(HEADER_SECONDS, self._end, _TOO_SLOW)

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes, self._field_bytes = True, 0, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._in_time()
        if self._is_next and not self.expect_100_continue and self.parser.get_http_version() == "1.1":
            self._refused = self._shedding.check(self.parser.get_method(), self.url)
        if self._refused is None:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._refused is None:
            super().on_body(body)
            return
        self._thrown_away += len(body)
        if self._thrown_away > self._max_body:
            self._end(_TOO_LONG)

    def on_message_complete(self) -> None:
        if self._refused is None:
            super().on_message_complete()
            return
        refused, size, self._refused, self._thrown_away = self._refused, self._thrown_away, None, 0
        self._in_time()
        if self.transport.is_closing():
            return
        is_last = self._state.draining or not self.parser.should_keep_alive()
        sent = next((value for name, value in self.headers if name == b"x-request-id"), b"")
        name = request_id(sent.decode("latin-1"))
        self.transport.write(refused.answer(name, is_last))
        self._shedding.note(refused, name, size)
        if is_last:
            self.transport.close()
        else:
            self.on_response_complete()
            if self.flow.write_paused:  # whoever reads no answers is not heard any more
                self.flow.pause_reading()

    @property
    def _is_next(self) -> bool:
        """Whether no earlier request of this connection still waits for its answer."""
        return self.cycle is None or self.cycle.response_complete

    def _in_time(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    def send_400_response(self, msg: str) -> None:
        if self._field_bytes > MAX_HEADER_BYTES:
            self._end(_TOO_LARGE)
        else:
            super().send_400_response(msg)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        if self._is_next and not self.transport.is_closing():
            self.flow.resume_reading()

    def _count(self, size: int) -> None:
        self._field_bytes += size
        if self._field_bytes > MAX_HEADER_BYTES:
            raise _HeadersTooLarge

    def _end(self, answer: bytes) -> None:
        """Say why, unless an answer is under way, and close."""
        if not self.transport.is_closing():
            if self._is_next:
                self.transport.write(answer)
            self.transport.close()
