"""What each rank of `test_torchrun.py` runs: training, in which rank 1 dies by SIGKILL the first time; after the restart the
rest of it, and the same without a break, calibration and evaluation. Rank 0 saves everything in the folder given.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import bitwright as bw
from bitwright.ranks import Ranks
from bitwright.scale import torchrun
from bitwright.training import loop
from tests.test_ranks import PREPROCESS, network
from tests.training.test_trainer import OPTIONS, run

LAST_STEP = 6


def main(folder: Path) -> None:
    loop.SAVE_EVERY_S = 0.0
    with torchrun.ranks() as ranks:
        assert (ranks.rank, ranks.size) == (int(os.environ["RANK"]), 2)
        if ranks.rank == 1 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
            dies(LAST_STEP)
        for way in ("killed", "whole"):
            trained = run(161, resume=folder / f"{way}.run", ranks=ranks)  # the epochs do not end with a batch
            save(trained, folder / way, ranks)
        save(calibrated(ranks), folder / "calibrated", ranks)


def calibrated(ranks: Ranks) -> bw.Artifact:
    source = bw.open_source("digits[:77]")
    made = bw.quantize(network(), source, preprocess=PREPROCESS, recipe="w4a8", ranks=ranks)
    measured = bw.evaluate(made, source, ranks=ranks)
    assert measured == bw.evaluate(made, source)
    return made


def save(artifact: bw.Artifact, path: Path, ranks: Ranks) -> None:
    assert {*ranks.gather(artifact.data)} == {artifact.data}  # all ranks have the same
    if ranks.rank == 0:
        artifact.save(path)


def dies(after: int) -> None:
    step, steps = loop.Loop._step, 0

    def counted(self: loop.Loop, *arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps > after:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, *arguments)

    loop.Loop._step = counted  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    assert OPTIONS.batch == 32
    main(Path(sys.argv[1]))
