"""The probes of `sensitivity` and `search` on Ray's workers, in place of processes of this machine."""

from collections.abc import Iterable, Iterator
from typing import Any

from bitwright.budget.probe import Found, Probe, Task
from bitwright.errors import BitwrightError, EngineError
from bitwright.scale.cluster import HERE, cluster, processors

AHEAD = 2
"""Tasks in flight for each processor: one that it works on, and one that waits for it."""


class OnRay:
    """Measures tasks in a cluster; one whose worker is killed is measured by another."""

    def __init__(self, address: str = HERE) -> None:
        self.address = address

    def __call__(self, probe: Probe, tasks: Iterable[Task]) -> Iterator[list[Found]]:
        """Measure every task, in any order. Raises what a probe raises; EngineError where there is no cluster."""
        with cluster(self.address) as ray:
            measure = ray.remote(num_cpus=1, max_retries=-1)(_measure)
            running: list[Any] = []
            shared, waiting = ray.put(probe), iter(tasks)
            try:
                while True:
                    while len(running) < AHEAD * processors(ray) and (task := next(waiting, None)) is not None:
                        running.append(measure.remote(shared, task))
                    if not running:
                        return
                    done, running = ray.wait(running)
                    yield from ray.get(done)
            except ray.exceptions.RayError as error:
                if isinstance(cause := getattr(error, "cause", None), BitwrightError):
                    raise cause from error
                raise EngineError(f"a worker of Ray failed: {error}") from error
            finally:
                for reference in running:
                    ray.cancel(reference, force=True)


def _measure(probe: Probe, task: Task) -> list[Found]:
    return probe.measure(task)
