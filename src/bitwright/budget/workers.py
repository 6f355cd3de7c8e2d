"""`measure_all`: probes in processes of their own, started anew and not forked, so that no lock or thread is inherited.

A process runs this file, and not the caller's program, which need not be guarded by `__name__ == "__main__"`. It gets tasks
through a socket and gives back what it found. It imports no torch.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

from bitwright.ahead import usable_processors
from bitwright.budget.probe import Found, Probe, Task
from bitwright.errors import BitwrightError, EngineError

Measure = Callable[[Probe, Iterable[Task]], Iterator[list[Found]]]
"""Measures every task somewhere, in any order."""
Jobs = int | Measure


def measure_all(probe: Probe, tasks: Iterable[Task], jobs: Jobs) -> Generator[list[Found]]:
    """Measure every task, in `jobs` processes if there is more than one, or by what `jobs` is, in any order.

    Raises what a probe raises; EngineError where a process has died.
    """
    if not isinstance(jobs, int):
        yield from jobs(probe, tasks)
        return
    if jobs == 1:
        yield from map(probe.measure, tasks)
        return
    waiting, busy = iter(tasks), []
    workers = [Worker(probe) for _ in range(jobs)]
    try:
        idle = list(workers)
        while True:
            while idle and (task := next(waiting, None)) is not None:
                busy.append(idle.pop())
                busy[-1].connection.send(task)
            if not busy:
                return
            ready = wait([worker.connection for worker in busy])
            for worker in [worker for worker in busy if worker.connection in ready]:
                yield worker.result()
                busy.remove(worker)
                idle.append(worker)
    finally:
        for worker in workers:
            worker.stop()


class Worker:
    """A process with a probe."""

    def __init__(self, probe: Probe) -> None:
        self.connection, theirs = Pipe()
        path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self.connection.send(probe)

    def result(self) -> list[Found]:
        """Wait for the next result and return it."""
        try:
            found = self.connection.recv()
        except (EOFError, ConnectionError) as error:
            raise EngineError(f"a process that measured layers has died with {self.process.wait()}") from error
        if isinstance(found, BitwrightError):
            raise found
        return list(found)

    def stop(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.terminate()
        self.process.wait()


def available_jobs() -> int:
    """One process for each processor that this process may use."""
    return usable_processors()


def serve(connection: Connection) -> None:
    """Measure each task that arrives, until the other side closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and stops this process
    try:
        probe = connection.recv()
        while True:
            task = connection.recv()
            try:
                connection.send(probe.measure(task))
            except BitwrightError as error:
                connection.send(error)
    except (EOFError, ConnectionError):
        return


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
