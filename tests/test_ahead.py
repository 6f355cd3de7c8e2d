import threading
from collections.abc import Generator

import pytest

from bitwright.ahead import ahead


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("most", [1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 6, 20])
def test_results_come_in_order_and_no_item_is_taken_too_early(count: int, most: int, threads: int) -> None:
    taken = []

    def items():
        for i in range(count):
            taken.append(i)
            yield i

    found = []
    for result in ahead(lambda i: 2 * i, items(), threads, most, "test"):
        found.append(result)
        assert len(taken) <= len(found) - 1 + most
    assert found == [2 * i for i in range(count)]


def test_an_error_comes_where_its_result_would() -> None:
    results = ahead(lambda i: 6 // (3 - i), range(9), 2, 4, "test")
    assert [next(results) for _ in range(3)] == [2, 3, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_who_stops_early_waits_for_no_thread() -> None:
    over, begun = threading.Event(), threading.Event()

    def work(i: int) -> int:
        if i:
            begun.set()
            over.wait(60)
        else:
            begun.wait(60)  # so that another has begun when its result comes
        return i

    results = ahead(work, range(9), 2, 4, "test")
    assert next(results) == 0
    assert begun.is_set()
    running = [thread for thread in threading.enumerate() if thread.name.startswith("test")]
    assert isinstance(results, Generator)
    results.close()
    assert not over.is_set()
    assert running
    assert all(thread.is_alive() for thread in running)  # nobody has waited for them
    over.set()
    for thread in running:
        thread.join(60)
        assert not thread.is_alive()
