"""Sockets, signals, and an end that loses no request.

SIGTERM    /v2/health/ready says 503; requests are still taken, each answered with `Connection: close`, for drain_seconds:
           clients and load balancers go elsewhere by themselves
then       no new connections; what was accepted is answered, for at most grace_seconds
a second   SIGTERM or SIGINT ends at once
"""

import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Any

import uvicorn

from bitwright.errors import ServeError
from bitwright.serve.app import make_app
from bitwright.serve.connections import BoundedProtocol
from bitwright.serve.door import State
from bitwright.serve.logs import log
from bitwright.serve.settings import Settings
from bitwright.serve.shedding import Shedding

BACKLOG = 2048
SWITCH_SECONDS = 0.0001
"""Python's threads take turns so often, not every 5 ms: threads that decode and run the engine hold Python's lock for
moments, and must not wait so long for an event loop that is busy, nor it for them."""


class Server(uvicorn.Server):
    """uvicorn's server, which drains before it ends."""

    def __init__(self, config: uvicorn.Config, state: State, drain_seconds: float) -> None:
        super().__init__(config)
        self._state, self._drain_seconds = state, drain_seconds
        self._until = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal: the first one begins to drain, the second one ends."""
        if self._state.draining:
            self.should_exit = self.force_exit = True
            return
        self.drain()
        log("draining", signal=sig, seconds=self._drain_seconds)

    def drain(self) -> None:
        """Begin to end."""
        self._until = monotonic() + self._drain_seconds
        self._state.draining = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Then say where it listens: from here on, signals are heard as well."""
        await super().startup(sockets)
        for listener in sockets or ():
            address, port = listener.getsockname()[:2]
            log("listening", url=f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}")

    async def on_tick(self, counter: int) -> bool:
        if self._state.draining and monotonic() >= self._until:
            self.should_exit = True
        return await super().on_tick(counter)


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; ServeError where the address is taken or is none."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, UnicodeError, OverflowError) as error:
        raise ServeError(
            f"cannot listen on {host} port {port}: {getattr(error, 'strerror', None) or error}; choose --host and --port"
        ) from error


def make_server(models: Mapping[str, Path], settings: Settings) -> Server:
    """Load the models, and make a server that has no socket yet; ArtifactError where a model does not load or run."""
    state = State()
    app, shedding = make_app(models, settings, state)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=_protocol(shedding, state, settings),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # nothing here asks for the address of a client
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, round(settings.grace_seconds)),
    )
    return Server(config, state, settings.drain_seconds)


def _protocol(shedding: Shedding, state: State, settings: Settings) -> type[BoundedProtocol]:
    """The protocol of this server's connections."""

    class Protocol(BoundedProtocol):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs, shedding=shedding, state=state, max_body=settings.max_body)

    return Protocol


def serve(models: Mapping[str, Path], settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ServeError: the address is taken or is none.
        ArtifactError: a model does not load or run.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    with listening(host, port) as listener:
        server = make_server(models, settings)
        server.run([listener])
    log("ended")
