"""The same float networks through bitwright and its peers, in one run: `python -m bench.peers`.

The runners take turns for several rounds, so that whatever else the machine does hits all of them; each round gives the
median of its repeats. Printed are the median over the rounds, its spread, and the ratio of bitwright to the best peer;
on a busy machine the ratio of the least times of any run says more.
Every runner must first give logits close to the float network's, or it is not timed.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from bench.arguments import toolkits
from bench.floats import FACTORIES, MORE, TOKENS, FloatNetwork, float_network
from bench.inductor import RefusedError
from bitwright import _native

if TYPE_CHECKING:
    from bench.runners import Models, Prepared

HELD = "ONEDNN_MAX_CPU_ISA"
"""What holds oneDNN, and so OpenVINO, to an instruction set."""
LEAST_CORRELATION = 0.5
"""The least correlation of logits with the float network's. With random weights int8 is not as close as with trained ones."""


REST = 0.1
"""Seconds before a runner's turn: until the threads of the one before it have stopped spinning for work."""


def timed(run: Callable[[], Any], repeats: int) -> list[float]:
    """Milliseconds, after a rest and one run that is not counted."""
    time.sleep(REST)
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def correlation(network: FloatNetwork, images: npt.NDArray[np.uint8], logits: npt.NDArray[np.float32]) -> float:
    with torch.no_grad():
        expected = network.model(torch.from_numpy(network.normalized(images))).numpy()
    return float(np.corrcoef(expected.ravel(), logits.ravel())[0, 1])


def compare(
    network: FloatNetwork, models: "Models", threads: int, batch: int, rounds: int, repeats: int
) -> dict[str, Any]:
    from bench.runners import held_runners, runners

    images = np.resize(network.images, (batch, *network.images.shape[1:]))
    runs, refused = willing((held_runners if HELD in os.environ else runners)(models, threads), images)
    agreement = {name: correlation(network, images, run()) for name, run in runs.items()}
    kept = {name: run for name, run in runs.items() if agreement[name] >= LEAST_CORRELATION}
    if "bitwright" not in kept:
        raise SystemExit(
            f"{network.name}: bitwright's logits correlate only {agreement['bitwright']:.3f} with the float network's"
        )
    times: dict[str, list[float]] = {name: [] for name in kept}
    least = dict.fromkeys(kept, float("inf"))
    for _ in range(rounds):
        for name, run in kept.items():
            found = timed(run, repeats)
            times[name].append(statistics.median(found))
            least[name] = min(least[name], *found)
    medians = {name: statistics.median(rounds_of) for name, rounds_of in times.items()}
    return {
        "network": network.name,
        "threads": threads,
        "batch": batch,
        "milliseconds": times,
        "median": medians,
        "least": least,
        "correlation": agreement,
        "refused": refused,
        **ratios(times, least),
    }


def willing(
    prepared: dict[str, "Prepared"], images: npt.NDArray[np.uint8]
) -> tuple[dict[str, Callable[[], npt.NDArray[np.float32]]], dict[str, str]]:
    """Those that take the network, ready to run; and why the others do not."""
    runs, refused = {}, {}
    for name, prepare in prepared.items():
        try:
            runs[name] = prepare(images)
        except RefusedError as error:
            refused[name] = str(error)
    return runs, refused


def ratios(times: dict[str, list[float]], least: dict[str, float]) -> dict[str, Any]:
    """Ratios of bitwright's time to the best peer's: medians of rounds, least times of any run, extremes of any round."""
    ours = [name for name in times if name.startswith("bitwright")]
    peers = [name for name in times if name not in ours]
    best = min(peers, key=lambda name: statistics.median(times[name]))
    pairs = [mine / theirs for mine, theirs in zip(times["bitwright"], times[best], strict=True)]
    return {
        "best_peer": best,
        "ratio": statistics.median(times["bitwright"]) / statistics.median(times[best]),
        "ratio_of_least": least["bitwright"] / min(least[name] for name in peers),
        "ratio_by_round": [min(pairs), max(pairs)],
        "other_ratios": {n: statistics.median(times[n]) / statistics.median(times[best]) for n in ours[1:]},
    }


def show(result: dict[str, Any]) -> None:
    print(f"\n{result['network']}, {result['threads']} threads, batch {result['batch']}")
    for name, agreement in result["correlation"].items():
        found = result["milliseconds"].get(name)
        if found is None:
            print(f"  {name:20s} not timed: its logits correlate only {agreement:.3f} with the float network's")
            continue
        median, least = result["median"][name], result["least"][name]
        spread = f"{min(found):8.3f} .. {max(found):8.3f}   least {least:8.3f}"
        print(f"  {name:20s} {median:8.3f} ms   {spread}   r = {agreement:.4f}")
    for name, reason in result["refused"].items():
        print(f"  {name:20s} refused: {reason}")
    low, high = result["ratio_by_round"]
    print(f"  ratio to {result['best_peer']}: {result['ratio']:.2f}   ({low:.2f} .. {high:.2f})")
    for name, ratio in result["other_ratios"].items():
        print(f"  ratio of {name}: {ratio:.2f}")
    print(f"  ratio of least times: {result['ratio_of_least']:.2f}", flush=True)


def table(results: list[dict[str, Any]]) -> str:
    """Markdown: milliseconds (least of any run) and ratio, a line for each network, number of threads and batch."""
    names = list(dict.fromkeys(name for result in results for name in (*result["correlation"], *result["refused"])))
    lines = [
        f"| network | threads | batch | {' | '.join(names)} | ratio | of least times |",
        "| --- " * (len(names) + 5) + "|",
    ]
    for result in results:
        median, least_of = result["median"], result["least"]
        times = [f"{median[name]:.2f} ({least_of[name]:.2f})" if name in median else "-" for name in names]
        low, high = result["ratio_by_round"]
        ratio = f"**{result['ratio']:.2f}** ({low:.2f} .. {high:.2f})"
        least = f"{result['ratio_of_least']:.2f}"
        ratio += "".join(f", {name} **{other:.2f}**" for name, other in result["other_ratios"].items())
        lines.append(
            f"| {result['network']} | {result['threads']} | {result['batch']} | {' | '.join(times)} | {ratio} | {least} |"
        )
    reasons = dict.fromkeys(
        f"{name} has no time for {result['network']}: {reason}"
        for result in results
        for name, reason in result["refused"].items()
    )
    return "\n".join([*lines, *(f"\n{reason}" for reason in reasons)]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--networks",
        nargs="+",
        choices=FACTORIES,
        default=[name for name in FACTORIES if name not in TOKENS and name not in MORE],
    )
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--batch", nargs="+", type=int, default=[1])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument(
        "--isa", choices=("avx2",), help="hold bitwright and OpenVINO to it; ONNX Runtime cannot be held"
    )
    parser.add_argument("--models", type=Path, default=Path("build/bench"), help="where converted models are kept")
    parser.add_argument("--json", type=Path, help="write all times here")
    parser.add_argument("--markdown", type=Path, help="write the table here")
    args = parser.parse_args()
    toolkits("nncf", "onnxruntime", "openvino")
    from bench.runners import Models

    if args.isa:
        os.environ |= {"BITWRIGHT_ISA": args.isa, HELD: args.isa.upper()}
        print(f"held to {args.isa}: bitwright, OpenVINO; left out, for they cannot be held: ONNX Runtime, Inductor")
    print(f"{platform.machine()}, {_native.detected_isa()}, {_native.available_threads()} threads to be had")
    results = []
    for name in args.networks:
        network = float_network(name)
        models = Models(network, args.models)
        for threads in args.threads:
            for batch in args.batch:
                results.append(compare(network, models, threads, batch, args.rounds, max(1, args.repeats // batch)))
                show(results[-1])
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))
    if args.markdown:
        args.markdown.write_text(table(results))


if __name__ == "__main__":
    main()
