"""Queues and batches: what runs when, and what is refused."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from bitwright.serve.lane import Lane, Limits
from bitwright.serve.metrics import Metrics
from bitwright.serve.refusal import Refusal


class Engine:
    """Doubles numbers; each batch waits until it is let through."""

    def __init__(self) -> None:
        self.batches: list[tuple[list[int], bool]] = []
        self.gate = threading.Semaphore(0)

    def run(self, jobs, alone):
        self.batches.append((list(jobs), alone))
        assert self.gate.acquire(timeout=10)
        if 13 in jobs:
            raise ValueError("thirteen")
        return [2 * job for job in jobs]


@pytest.fixture
def engine():
    return Engine()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as pool:
        yield pool


def lane_of(engine, pool, workers=1, batch=4, queue=6, patience=10.0, ahead=0):
    return Lane(engine.run, pool, Limits(workers, batch, queue, patience, ahead), Metrics().lane("model", "infer"))


async def sent(lane, jobs):
    tasks = []
    for job in jobs:
        tasks.append(asyncio.create_task(lane(job, 1)))
        await asyncio.sleep(0.01)
    return tasks


def test_a_lone_job_runs_at_once_and_what_queues_meanwhile_runs_together(engine, pool):
    async def scenario():
        lane = lane_of(engine, pool)
        tasks = await sent(lane, range(6))
        assert engine.batches == [([0], True)]
        engine.gate.release(3)
        return await asyncio.gather(*tasks)

    assert asyncio.run(scenario()) == [0, 2, 4, 6, 8, 10]
    assert engine.batches == [([0], True), ([1, 2, 3, 4], False), ([5], True)]


def test_jobs_that_arrive_together_run_together(engine, pool):
    async def scenario():
        lane = lane_of(engine, pool)
        engine.gate.release(1)
        return await asyncio.gather(*(lane(job, 1) for job in range(3)))

    assert asyncio.run(scenario()) == [0, 2, 4]
    assert engine.batches == [([0, 1, 2], False)]


def test_a_job_larger_than_a_batch_or_the_queue_runs_by_itself(engine, pool):
    async def scenario():
        engine.gate.release(1)
        return await lane_of(engine, pool)(7, 1000)

    assert asyncio.run(scenario()) == 14


def test_a_full_queue_is_told_when_to_come_back(engine, pool):
    async def scenario():
        lane = lane_of(engine, pool)
        tasks = await sent(lane, range(8))  # one runs, six wait
        with pytest.raises(Refusal, match="6 images are waiting") as caught:
            await tasks[7]
        assert caught.value.status == 429
        assert int(caught.value.headers["Retry-After"]) >= 1
        engine.gate.release(3)
        assert await asyncio.gather(*tasks[:7]) == [0, 2, 4, 6, 8, 10, 12]

    asyncio.run(scenario())


def test_patience_ends(engine, pool):
    async def scenario():
        lane = lane_of(engine, pool, patience=0.05)
        tasks = await sent(lane, range(3))
        await asyncio.sleep(0.1)
        engine.gate.release(1)
        assert await tasks[0] == 0
        for task in tasks[1:]:
            with pytest.raises(Refusal, match="has waited"):
                await task

    asyncio.run(scenario())
    assert len(engine.batches) == 1


def test_nobody_runs_what_nobody_waits_for(engine, pool):
    async def scenario():
        lane = lane_of(engine, pool)
        tasks = await sent(lane, range(3))
        tasks[1].cancel()
        engine.gate.release(2)
        assert [await tasks[0], await tasks[2]] == [0, 4]

    asyncio.run(scenario())
    assert engine.batches == [([0], True), ([2], True)]


def test_a_fault_reaches_its_batch_alone(engine, pool):
    async def scenario():
        lane = lane_of(engine, pool)
        engine.gate.release(2)
        with pytest.raises(ValueError, match="thirteen"):
            await lane(13, 1)
        assert await lane(4, 1) == 8

    asyncio.run(scenario())


def test_several_workers_run_several_batches_at_once(engine, pool):
    async def scenario():
        lane = lane_of(engine, pool, workers=2)
        tasks = await sent(lane, range(2))
        assert engine.batches == [([0], True), ([1], False)]
        engine.gate.release(2)
        assert await asyncio.gather(*tasks) == [0, 2]

    asyncio.run(scenario())


def test_a_batch_that_stands_ready_runs_while_the_loop_is_busy(engine):
    async def scenario():
        with ThreadPoolExecutor(1) as pool:
            lane = lane_of(engine, pool, ahead=1)
            tasks = await sent(lane, range(3))
            assert engine.batches == [([0], True)]  # [1] stands ready, 2 waits
            engine.gate.release(1)
            until = time.monotonic() + 10
            while len(engine.batches) < 2 and time.monotonic() < until:
                time.sleep(0.001)  # the loop answers nothing meanwhile
            assert engine.batches == [([0], True), ([1], False)]
            engine.gate.release(2)
            return await asyncio.gather(*tasks)

    assert asyncio.run(scenario()) == [0, 2, 4]


def test_free_slots_share_what_arrives_together(engine, pool):
    async def scenario():
        engine.gate.release(2)
        return await asyncio.gather(*(lane(job, 1) for job in range(4)))

    lane = lane_of(engine, pool, workers=2)
    assert asyncio.run(scenario()) == [0, 2, 4, 6]
    assert sorted(engine.batches) == [([0, 1], False), ([2, 3], False)]


def test_short_jobs_run_on_the_loops_thread(pool):
    threads = []

    def run(jobs, alone):
        threads.append(threading.current_thread())
        return jobs

    async def scenario():
        lane = Lane(run, pool, Limits(1, 4, 6, 10.0), Metrics().lane("model", "infer"), inline_seconds=60.0)
        for job in range(3):
            assert await lane(job, 1) == job

    asyncio.run(scenario())
    main = threading.current_thread()
    assert [thread is main for thread in threads] == [False, True, True]  # the first one shows how long it takes
