"""Ray: a cluster that runs already, or one on this machine for as long as it is needed. Nothing is reported to anybody."""

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bitwright.ahead import usable_processors
from bitwright.errors import EngineError, MissingExtraError

HERE = "here"
"""The address that stands for a cluster of our own, on this machine."""
PATIENCE_S = 10.0
"""How long a cluster may take to answer; Ray itself tries for a quarter of an hour, and cannot be interrupted meanwhile."""
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""What a client of HTTP/2 sends first, with no settings (RFC 9113, section 3.4). Ray's servers speak gRPC, which is HTTP/2."""


@contextmanager
def cluster(address: str = HERE) -> Iterator[Any]:
    """The module `ray`, connected to the cluster at an address such as `auto` or `10.0.0.1:6379`, or as it is already.

    Raises:
        MissingExtraError: Ray is not installed.
        EngineError: there is no cluster at the address, or none can be started here.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("ray", "ray") from error
    if ray.is_initialized():
        yield ray
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address == HERE:
            ray.init("local", num_cpus=usable_processors(), include_dashboard=False, **quiet)
        else:
            _expect_answer(os.environ.get("RAY_ADDRESS", address) if address == "auto" else address)
            ray.init(address, **quiet)
    except Exception as error:  # Ray raises some of no class of their own
        does = "start Ray here" if address == HERE else f"reach Ray at {address}"
        raise EngineError(f"cannot {does}: {error}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _expect_answer(address: str) -> None:
    """Raise OSError where nobody is at HOST:PORT, or nobody who speaks HTTP/2. Other forms of address are left to Ray."""
    found = re.fullmatch(r"(?:ray://)?\[?([^\[\]/]+)\]?:(\d+)", address)
    if found is None:
        return
    with socket.create_connection((found[1], int(found[2])), PATIENCE_S) as connection:
        if os.environ.get("RAY_USE_TLS", "0") != "0":
            return
        connection.sendall(HELLO)
        if connection.recv(9)[3:4] != HELLO[-6:-5]:  # the server's settings
            raise OSError("somebody else listens there")


def processors(ray: Any) -> int:
    """How many processors the cluster has."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))
