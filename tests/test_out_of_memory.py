"""Memory that runs out somewhere while it trains or searches: no file is half written, and work goes on."""

from pathlib import Path

import pytest

from bitwright.artifact import from_bytes
from tests.test_killed import SEARCH, TRAIN, start

STARVE = """
    import os, resource, threading, time
    held = []
    def starve():
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used, used))
        print("starved", flush=True)
        size = 1 << 24
        while size >= 64:
            try:
                held.append(bytearray(size))
            except MemoryError:
                size //= 2
"""
"""`starve` takes all memory that the calling thread can still have."""
IN_A_STEP = """
    from bitwright.training import loop
    loop.SAVE_EVERY_S, step, steps = 0.0, loop.Loop._step, iter(range(10**6))
    def starved(self, *given):
        if next(steps) == int(sys.argv[3]):
            starve()
        return step(self, *given)
    loop.Loop._step = starved
"""
IN_THE_CACHE = """
    def wait():
        while not os.path.isdir(sys.argv[1]) or not os.listdir(sys.argv[1]):
            time.sleep(0.001)
        starve()
    threading.Thread(target=wait, daemon=True).start()
"""


def starved(script: str, state: Path, out: Path, step: int = 0) -> None:
    """A process that runs out of memory while it works."""
    with start(STARVE + script, state, out, step) as process:
        try:
            said, errors = process.communicate(timeout=120)
        finally:
            process.kill()
    assert "starved" in said, errors
    assert process.returncode != 0
    assert not out.exists()


def finished(script: str, state: Path, out: Path) -> bytes:
    with start(script, state, out) as process:
        assert process.wait(120) == 0, process.stderr and process.stderr.read()
    return out.read_bytes()


def test_training_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    for extra in ("torch", "sklearn"):
        pytest.importorskip(extra)
    checkpoint, out = tmp_path / "run", tmp_path / "m"
    starved(IN_A_STEP + TRAIN, checkpoint, out, step=0)
    assert list(tmp_path.iterdir()) == []
    starved(IN_A_STEP + TRAIN, checkpoint, out, step=4)
    assert list(tmp_path.iterdir()) == [checkpoint]
    found = finished(TRAIN, checkpoint, out)
    from tests.training.test_trainer import run

    assert found == run(96, resume=tmp_path / "other").data


def test_a_search_goes_on_from_its_cache(tmp_path: Path) -> None:
    for extra in ("torch", "sklearn", "scipy"):
        pytest.importorskip(extra)
    cache, out = tmp_path / "cache", tmp_path / "m"
    starved(IN_THE_CACHE + SEARCH, cache, out)
    from_bytes(finished(SEARCH, cache, out))
    assert not [entry for entry in tmp_path.rglob("*") if entry.name.endswith("bitwright-tmp")]
