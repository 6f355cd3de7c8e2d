"""Ray: a cluster that runs already, or one on this machine for as long as it is needed. Nothing is reported to anybody."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bitwright.errors import EngineError, MissingExtraError

HERE = "here"
"""The address that stands for a cluster of our own, on this machine."""


@contextmanager
def cluster(address: str = HERE) -> Iterator[Any]:
    """The module `ray`, connected to the cluster at an address such as `auto` or `10.0.0.1:6379`, or as it is already.

    Raises:
        MissingExtraError: Ray is not installed.
        EngineError: there is no cluster at the address.
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
            ray.init(num_cpus=len(os.sched_getaffinity(0)), include_dashboard=False, **quiet)
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise EngineError(f"cannot reach Ray at {address}: {error}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def processors(ray: Any) -> int:
    """How many processors the cluster has."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))
