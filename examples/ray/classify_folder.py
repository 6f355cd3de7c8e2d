"""Ray Data of your own around an artifact: the images of a folder, two columns of answers for each, as Parquet.

    pip install 'bitwright[ray]'
    python examples/ray/classify_folder.py m.bw.safetensors photos answers

`bitwright classify ... --ray` also goes on where it was stopped, and keeps the order of the images; this is for pipelines that
do something else before and after.
"""

import sys
from typing import Any

import numpy as np
import ray

import bitwright as bw


class Classify:
    """A worker: an engine of one thread, which it keeps for all of its batches."""

    def __init__(self, artifact: str) -> None:
        self.classifier = bw.Classifier(artifact, threads=1)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        found = self.classifier(list(batch["bytes"]), top=1)  # an image that cannot be read gets an error, and no class
        names = [None if p.error else p.top[0].name for p in found]
        shares = [np.nan if p.error else p.top[0].probability for p in found]
        return {"path": batch["path"], "name": names, "probability": np.array(shares, np.float32)}


def main(artifact: str, folder: str, answers: str, workers: int = 2) -> None:
    light = {"num_cpus": 0}  # or reading and writing would wait for ever for processors that the workers keep
    images = ray.data.read_binary_files(folder, include_paths=True, ray_remote_args=light)
    images.map_batches(
        Classify,
        fn_constructor_args=(artifact,),
        batch_size=64,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=workers),
    ).write_parquet(answers, ray_remote_args=light)


if __name__ == "__main__":
    main(*sys.argv[1:4])
