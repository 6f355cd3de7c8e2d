"""One network of `bench.coverage`, in a process of its own: a copy of this one, in which the libraries are imported already.

A record says what was reached (`made`, `captured`, `quantized`, `equal`), and why no more.
"""

import multiprocessing
import resource
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import bitwright as bw
from bench.defaults import settle
from bench.families import Case, made, randomize
from bench.floats import IMAGENET, smooth_images
from bitwright.capture import fuse
from bitwright.faithful import expect_faithful
from bitwright.models.float_models import float_model
from bitwright.recipe import Recipe

CALIBRATED, TESTED, COMPARED = 4, 4, 2
"""How many images are calibrated on, measured for the SQNR, and run by the reference."""
ENGINES = [(isa, threads) for isa in (None, "scalar") for threads in (1, 2)]


def measure(case: Case) -> dict[str, Any]:
    """The record of one network. An error of any kind becomes its first line."""
    record: dict[str, Any] = {"reached": "none"}
    try:
        _measure(case, record)
    except Exception as error:  # noqa: BLE001 - whatever stops a network is what the table is about
        record["why"] = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        record["whole"] = str(error)[:1000]
    return record


def _measure(case: Case, record: dict[str, Any]) -> None:
    model, side = made(case)
    randomize(model)
    preprocess = bw.Preprocess(size=side, mean=IMAGENET["mean"], std=IMAGENET["std"])
    images = smooth_images(CALIBRATED + TESTED, side)
    fitted, tested = images[:CALIBRATED], images[CALIBRATED:]
    settle(model, torch.from_numpy(preprocess.normalise(fitted)))
    record |= {"side": side, "reached": "made"}
    start = time.monotonic()
    source = float_model(model)
    found = source.capture((3, side, side))
    graph = fuse(found.graph)
    record["capture_s"] = round(time.monotonic() - start, 1)
    expect_faithful(source, graph, (3, side, side), found.in_float32)
    record |= {"reached": "captured", "nodes": len(graph.nodes)}
    if not case.in_full:
        return
    artifact = bw.quantize(found, fitted, preprocess=preprocess, recipe=Recipe(algorithms=()), guard=False)
    record["reached"] = "quantized"
    expected = bw.Engine(artifact, backend="reference")(tested[:COMPARED])
    for isa, threads in ENGINES:
        if bw.Engine(artifact, isa=isa, threads=threads)(tested[:COMPARED]).tobytes() != expected.tobytes():
            raise ValueError(f"the engine differs from the reference (isa={isa}, threads={threads})")
    record |= {
        "reached": "equal",
        "sqnr_db": _sqnr_db(bw.Engine(artifact)(tested), source.predict(preprocess.normalise(tested))),
    }


def _sqnr_db(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    noise = np.square(found.astype(np.float64) - expected).sum()
    return round(10 * float(np.log10(np.square(expected.astype(np.float64)).sum() / max(noise, 1e-30))), 1)


def in_a_process(
    case: Case, seconds: float, gigabytes: float, function: Callable[[Case], dict[str, Any]] = measure
) -> dict[str, Any]:
    """What `function` finds, with a limit of time and of memory."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_send, args=(function, case, gigabytes, theirs))
    process.start()
    theirs.close()
    try:
        found: dict[str, Any] = (
            ours.recv() if ours.poll(seconds) else {"reached": "none", "why": f"takes more than {seconds:.0f} s"}
        )
    except EOFError:
        process.join()
        found = {"reached": "none", "why": f"its process ended with {process.exitcode}, for want of memory?"}
    process.kill()
    process.join()
    return found


def _send(function: Callable[[Case], dict[str, Any]], case: Case, gigabytes: float, to: Connection) -> None:
    most = int(gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    warnings.simplefilter("ignore")
    to.send(function(case))
