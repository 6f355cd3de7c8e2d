"""How fast an artifact runs: timed only after the native engine gave the reference's logits, to the bit, in such calls."""

from statistics import median
from time import perf_counter

import numpy as np
import numpy.typing as npt

from bitwright.artifact import Artifact
from bitwright.engine.engine import Engine
from bitwright.errors import EngineError
from bitwright.records import Timing

SEED = 0
VERIFIED = 4  # random images that the reference computes as well; it takes its time
WARM_UP = 10  # calls


def time_engine(artifact: Artifact, threads: int | None, batch: int, rounds: int) -> Timing:
    """Time the native engine on random images.

    Args:
        artifact: what to run.
        threads: of the engine; None: all that this process may use.
        batch: images of a call.
        rounds: how many calls are timed.

    Raises:
        EngineError: the native backend was not built, or its logits are not the reference's.
    """
    engine = Engine(artifact, backend="native", threads=threads)
    from bitwright import _native  # there, now that the engine is

    images = random_images(artifact, batch)
    verify(engine, images, batch)
    seconds = _seconds(engine, images[:batch], rounds)
    return Timing(
        isa=_native.chosen_isa(),
        threads=threads or _native.available_threads(),
        batch=batch,
        rounds=rounds,
        verified_images=VERIFIED,
        median_ms=1e3 * median(seconds),
        least_ms=1e3 * min(seconds),
        images_per_second=batch / median(seconds),
    )


def random_images(artifact: Artifact, batch: int) -> npt.NDArray[np.uint8]:
    """At least a batch of images, uint8 [N, H, W, C]: VERIFIED different ones, repeated."""
    few = np.random.default_rng(SEED).integers(0, 256, (VERIFIED, *artifact.preprocess.shape), np.uint8)
    return few[np.arange(max(batch, VERIFIED)) % VERIFIED]


def verify(engine: Engine, images: npt.NDArray[np.uint8], batch: int) -> None:
    """Run the images in calls of a batch; EngineError where a bit of a logit is not as in the reference."""
    few = Engine(engine.artifact, backend="reference")(images[:VERIFIED])
    expected = few[np.arange(len(images)) % VERIFIED]
    found = np.concatenate([engine(images[i : i + batch]) for i in range(0, len(images), batch)])
    wrong = np.argwhere(found.view(np.uint32) != expected.view(np.uint32))
    if len(wrong):
        at = tuple(wrong[0])
        raise EngineError(
            f"the native engine is wrong: expected {expected[at]!r} for logit {at[1]} of random image {at[0]}, as the "
            f"reference has it, found {found[at]!r}; {len(wrong)} of {found.size} differ. Nothing was timed; please report this"
        )


def _seconds(engine: Engine, images: npt.NDArray[np.uint8], rounds: int) -> list[float]:
    for _ in range(WARM_UP):
        engine(images)
    seconds = []
    for _ in range(rounds):
        begin = perf_counter()
        engine(images)
        seconds.append(perf_counter() - begin)
    return seconds
