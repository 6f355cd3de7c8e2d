"""Processes that measure: they end without a word when nobody wants them any more, and their faults come back."""

from typing import Any

import numpy as np
import pytest

from bitwright.budget.probe import Found, Task
from bitwright.budget.workers import Worker, measure_all
from bitwright.errors import BudgetError, EngineError


class Answers:
    """A probe that measures nothing: task "fails" raises, "dies" ends the process."""

    def measure(self, task: Any) -> list[Found]:
        if task.layer == "fails":
            raise BudgetError("no such layer")
        if task.layer == "dies":
            raise SystemExit(3)
        return [Found(task.layer, task.kind, 4, 0.5, 1.0)]


PROBE: Any = Answers()


def task(layer: str) -> Task:
    return Task(layer, "weights", layer, np.zeros(1, np.float32), [])


@pytest.mark.parametrize("tasks", [0, 2])
def test_a_worker_ends_quietly_when_the_other_side_closes(tasks: int, capfd: pytest.CaptureFixture[str]) -> None:
    worker = Worker(PROBE)
    for _ in range(tasks):
        worker.connection.send(task("conv"))
        assert worker.result() == PROBE.measure(task("conv"))
    worker.connection.close()
    assert worker.process.wait(60) == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_a_probe_raises_comes_back(jobs: int) -> None:
    with pytest.raises(BudgetError, match="no such layer"):
        list(measure_all(PROBE, [task("conv"), task("fails")], jobs))


def test_a_process_that_dies_is_said_to_have_died() -> None:
    with pytest.raises(EngineError, match="has died with 3"):
        list(measure_all(PROBE, [task("dies")], 2))
