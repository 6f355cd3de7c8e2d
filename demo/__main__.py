"""`python -m demo`: pictures, training and quantization here; the artifacts run in a second process, without torch."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from safetensors.torch import save_file

import bitwright as bw
from bitwright.evaluation import float_predictor
from bitwright.images.sources import ImageSource
from bitwright.training import Options
from demo.network import SmallResNet
from demo.pictures import SIZE, write_pictures
from demo.train import train

CALIBRATED = ("w8a8",)
TRAINED = {
    "w4a4": ("w4a4", "lsq", None),
    "w1a2": ("w1a2", "react", None),
    "w1a1": ("w1a1", "react", None),
    "w8a8-threshold": ("w8a8", "lsq", "threshold:otsu"),
}
"""By row: the recipe, the algorithm, and what makes the picture itself 0 and 1."""
RECIPES = (*CALIBRATED, *TRAINED)  # a row of the table each
OUT = Path("demo-out")
PREPROCESS = bw.Preprocess(size=SIZE, mean=0.5, std=0.25)
CALIBRATION_IMAGES = 512


def run(out: Path, *, epochs: int = 16, every: int = 1, seed: int = 0) -> None:
    """Do the main job in `out`: pictures, a float network, an artifact per recipe, and what the float network answers.

    Leaves `demo.json` for the second process: where the models are, and the float network's answer for every picture.
    """
    console = Console(highlight=False, soft_wrap=True)
    folders = write_pictures(out / "pictures", every=every, seed=seed)
    training, heldout = bw.open_source(folders["train"]), bw.open_source(folders["heldout"])
    console.print(f"wrote {len(training)} pictures to train on and {len(heldout)} held out to {out / 'pictures'}")

    assert training.classes is not None
    torch.manual_seed(seed)
    model, start = SmallResNet(), time.perf_counter()
    train(model, training, PREPROCESS, epochs=epochs, seed=seed)
    console.print(f"trained a float network for {epochs} epochs in {time.perf_counter() - start:.0f} s")

    calibration = training.sample(min(CALIBRATION_IMAGES, len(training)), seed)
    artifacts = {}
    for recipe in CALIBRATED:
        start = time.perf_counter()
        artifact = bw.quantize(model, calibration, recipe=recipe, preprocess=PREPROCESS, seed=seed)
        artifacts[recipe] = str(out / f"digits-{recipe}.bw.safetensors")
        artifact.save(artifacts[recipe])
        console.print(f"quantized it to {recipe} on {len(calibration)} pictures in {time.perf_counter() - start:.1f} s")
    for name, (recipe, algorithm, encoder) in TRAINED.items():
        start, preprocess = time.perf_counter(), replace(PREPROCESS, encoder=encoder)
        options = Options(epochs=epochs, batch=64, lr=0.02, augment=("crop",), distill=0.5, seed=seed)
        artifact = bw.train(model, training, recipe=recipe, training=algorithm, preprocess=preprocess, options=options)
        artifacts[name] = str(out / f"digits-{name}.bw.safetensors")
        artifact.save(artifacts[name])
        console.print(f"trained it as {name} for {epochs} epochs in {time.perf_counter() - start:.0f} s")

    weights = out / "digits-float32.safetensors"
    save_file(model.state_dict(), weights)
    record = {"float": str(weights), "artifacts": artifacts, "answers": answers(model, heldout, training.classes)}
    (out / "demo.json").write_text(json.dumps(record, indent=1))


def answers(model: torch.nn.Module, heldout: ImageSource, classes: tuple[str, ...]) -> dict[str, str]:
    """The name of the class that the float network gives each picture, by the picture's path."""
    predict = float_predictor(model, PREPROCESS)
    found = [predict(batch.images).argmax(axis=1) for batch in heldout.batches(PREPROCESS, 64, strict=True)]
    return {heldout.name(i): classes[answer] for i, answer in enumerate(np.concatenate(found))}


if __name__ == "__main__":
    torch.set_num_threads(1)  # the same weights on any number of cores, and no waiting for a core that others use
    run(OUT)
    sys.exit(subprocess.run([sys.executable, "-m", "demo.classify", OUT]).returncode)
