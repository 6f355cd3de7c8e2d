"""What post-training quantization itself costs, against NNCF's: `python -m bench.quantization`.

The same float network (torchvision's, random weights) and the same images, each toolkit at w8a8 with its defaults, in turns and
each time in a process of its own. Wall time is from the float module in memory to the file of the integer model, conversion to
the toolkit's own graph included, imports not; peak memory is that of the whole process. The logits of each integer
model must then correlate with those of the float network on 16 images.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from bench.floats import FACTORIES, FloatNetwork, float_network, smooth_images

CHECKED = 16
LEAST_CORRELATION = 0.9
Logits = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]


def by_bitwright(network: FloatNetwork, images: npt.NDArray[np.uint8], file: Path) -> Logits:
    import bitwright as bw

    bw.quantize(network.model, images, preprocess=network.preprocess).save(file)
    return lambda given: bw.Engine(file)(given)


def by_nncf(network: FloatNetwork, images: npt.NDArray[np.uint8], file: Path) -> Logits:
    import nncf
    import openvino as ov

    example = torch.from_numpy(network.normalized(images[:1]))
    model = ov.convert_model(network.model, example_input=example, input=[1, *example.shape[1:]])
    batches = nncf.Dataset(range(len(images)), lambda i: network.normalized(images[i : i + 1]))
    quantized = nncf.quantize(model, batches, subset_size=len(images))
    ov.save_model(quantized, file.with_suffix(".xml"))
    compiled = ov.compile_model(quantized, "CPU")
    return lambda given: np.concatenate([compiled(network.normalized(image[None]))[0] for image in given])


TOOLKITS = {"bitwright": by_bitwright, "nncf": by_nncf}


def child(toolkit: str, name: str, count: int) -> None:
    """Quantize once in this process; prints seconds, MB and the correlation of logits as JSON."""
    import bitwright  # noqa: F401 - imports are not timed

    if toolkit == "nncf":
        import nncf  # noqa: F401
        import openvino  # noqa: F401
    network = float_network(name)
    images = smooth_images(count, network.images.shape[1])
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        logits = TOOLKITS[toolkit](network, images, Path(folder) / "model.bw.safetensors")
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        found = logits(images[:CHECKED])
    with torch.no_grad():
        expected = network.model(torch.from_numpy(network.normalized(images[:CHECKED]))).numpy()
    agreement = float(np.corrcoef(expected.ravel(), np.asarray(found).ravel())[0, 1])
    print(json.dumps({"seconds": seconds, "peak_mb": peak, "correlation": agreement}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=FACTORIES, default="resnet50")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", choices=TOOLKITS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.network, args.images)
        return
    results: dict[str, list[dict[str, float]]] = {toolkit: [] for toolkit in TOOLKITS}
    for _ in range(args.rounds):
        for toolkit, found in results.items():
            command = [sys.executable, "-m", "bench.quantization", "--child", toolkit]
            command += ["--network", args.network, "--images", str(args.images)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
            if found[-1]["correlation"] < LEAST_CORRELATION:
                raise SystemExit(
                    f"{toolkit}: logits correlate only {found[-1]['correlation']:.3f} with the float network's"
                )
    print("| toolkit | seconds | spread | peak MB | r |\n| --- | --- | --- | --- | --- |")
    for toolkit, found in results.items():
        seconds, peaks = [r["seconds"] for r in found], [r["peak_mb"] for r in found]
        cells = f"{statistics.median(seconds):.1f} | {min(seconds):.1f} .. {max(seconds):.1f}"
        print(f"| {toolkit} | {cells} | {statistics.median(peaks):,.0f} | {found[0]['correlation']:.4f} |")


if __name__ == "__main__":
    main()
