"""A bounded queue in front of an engine, and the batches that form in it.

    engine idle:   a request runs at once, alone: waiting for company would only slow it
    engine busy:   requests queue, and what has queued when it is free runs together, up to `batch` images

So a batch grows with the load by itself, and its deadline is the end of the batch before it. Everything here happens on the
event loop's thread; only `run` is called in others. A batch that takes less time than the way to another thread and back, as
the ones before it have shown, may run right here.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Generic, TypeVar

from bitwright.serve.metrics import LaneMeter
from bitwright.serve.refusal import Refusal

Job = TypeVar("Job")
Answer = TypeVar("Answer")
INLINE_SECONDS = 0.0003
"""What two changes of threads take: a batch that is expected to take less may run on the event loop's thread."""
_NEWS = 0.1  # how much the latest batch counts in the mean time of an image


@dataclass(frozen=True)
class Limits:
    """What runs at once, and what waits.

    Attributes:
        workers: how many threads run batches at once.
        batch: images of a batch, at most, unless a job alone has more.
        queue: images that may wait.
        patience_seconds: the longest that a job may wait.
        ahead: batches that stand ready behind those that run, so that a thread goes on with the next one while the event loop
            still sends the answers of the last; the pool must be the lane's own then, with a thread for each worker.
    """

    workers: int
    batch: int
    queue: int
    patience_seconds: float
    ahead: int = 0

    @property
    def slots(self) -> int:
        """Batches that may be with the threads."""
        return self.workers + self.ahead


@dataclass(slots=True)
class _Waiting(Generic[Job, Answer]):
    job: Job
    images: int
    answer: "asyncio.Future[Answer]"
    since: float


class Lane(Generic[Job, Answer]):
    """Calls `run(jobs, alone)`, which returns an answer for each job, in the threads of `pool`.

    `alone`: nothing else of this lane is running, so that the job may use all processors.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Job], bool], Sequence[Answer]],
        pool: Executor,
        limits: Limits,
        meter: LaneMeter,
        inline_seconds: float = 0.0,
    ) -> None:
        self._inline_seconds = inline_seconds
        self._run, self._pool, self._limits, self._meter = run, pool, limits, meter
        self._queue: deque[_Waiting[Job, Answer]] = deque()
        self._starting = False
        self._running = 0
        self._images_waiting = 0
        self._image_seconds = 0.0

    async def __call__(self, job: Job, images: int) -> Answer:
        """The answer to a job of so many images.

        Raises:
            Refusal: 429, the queue is full, or the job has waited too long.
        """
        if (refusal := self.full(images=images)) is not None:
            raise refusal
        waiting: _Waiting[Job, Answer] = _Waiting(
            job, images, asyncio.get_running_loop().create_future(), perf_counter()
        )
        self._queue.append(waiting)
        self._count(images)
        if not self._starting:  # what has arrived together shall run together: the loop first sees to all of it
            self._starting = True
            asyncio.get_running_loop().call_soon(self._start)
        return await waiting.answer

    def full(self, coming: int = 0, images: int = 1) -> Refusal | None:
        """Why there is no room for so many images behind those that wait and those that are `coming`; None where there is."""
        waiting = self._images_waiting + coming
        if not waiting or waiting + images <= self._limits.queue:
            return None
        return self._too_busy(f"{waiting} images are waiting")

    def _start(self) -> None:
        self._starting = False
        while (free := self._limits.slots - self._running) > 0 and (batch := self._taken(free)):
            alone = not self._running and not self._queue
            expected = self._image_seconds * sum(waiting.images for waiting in batch)
            self._running += 1
            call = partial(self._timed, [waiting.job for waiting in batch], alone and len(batch) == 1)
            if alone and 0 < expected < self._inline_seconds:
                self._finished(batch, call)
                continue
            done = asyncio.get_running_loop().run_in_executor(self._pool, call)
            done.add_done_callback(partial(self._ended, batch))

    def _taken(self, free: int) -> list[_Waiting[Job, Answer]]:
        """The next batch: at least a job; no more images than a batch has, nor than the share of a free slot."""
        batch: list[_Waiting[Job, Answer]] = []
        images, now = 0, perf_counter()
        most = min(self._limits.batch, math.ceil(self._images_waiting / free))
        while self._queue and (not batch or images + self._queue[0].images <= most):
            waiting = self._queue.popleft()
            self._count(-waiting.images)
            if waiting.answer.done():  # its client is gone
                continue
            waited = now - waiting.since
            if waited > self._limits.patience_seconds:
                waiting.answer.set_exception(self._too_busy(f"the request has waited {waited:.1f} s for its turn"))
                continue
            self._meter.waited.observe(waited)
            batch.append(waiting)
            images += waiting.images
        if batch:
            self._meter.batch_images.observe(images)
        return batch

    def _timed(self, jobs: Sequence[Job], alone: bool) -> tuple[Sequence[Answer], float]:
        begin = perf_counter()
        return self._run(jobs, alone), perf_counter() - begin

    def _ended(
        self, batch: list[_Waiting[Job, Answer]], done: "asyncio.Future[tuple[Sequence[Answer], float]]"
    ) -> None:
        self._finished(batch, done.result)

    def _finished(
        self, batch: list[_Waiting[Job, Answer]], result: Callable[[], tuple[Sequence[Answer], float]]
    ) -> None:
        self._running -= 1
        self._start()
        try:
            answers, seconds = result()
        except Exception as error:  # noqa: BLE001  # whoever waits for the answer raises it
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_exception(error)
            return
        images = sum(waiting.images for waiting in batch)
        self._image_seconds += _NEWS * (seconds / images - self._image_seconds)
        self._meter.ran.observe(seconds)
        self._meter.images.inc(images)
        for waiting, answer in zip(batch, answers, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(answer)

    def _count(self, images: int) -> None:
        self._images_waiting += images
        self._meter.queued.set(self._images_waiting)

    def _too_busy(self, why: str) -> Refusal:
        seconds = math.ceil(self._images_waiting * self._image_seconds / self._limits.workers)
        return Refusal(429, f"too busy: {why}; try again later", {"Retry-After": str(max(1, seconds))})
