"""What threads compute a little ahead of whoever takes it, in order; and how many threads may run at once."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def usable_processors() -> int:
    """How many this process may use; all of the machine where the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ahead(function: Callable[[T], R], items: Iterable[T], threads: int, most: int, name: str) -> Iterator[R]:
    """Yield `function` of each item, in order; up to `most` items are taken and computed ahead, by threads of this name.

    Who stops early waits for none of them: an iterator that nobody has any more is closed wherever Python collects it,
    which may be where this very thread holds a lock that the end of a thread takes. What has begun then ends by itself.
    """
    running: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(threads, name)
    try:
        for item in items:
            running.append(pool.submit(function, item))
            while len(running) == most or (running and running[0].done()):
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
        pool.shutdown()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
