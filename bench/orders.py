"""Whether the order of the calibration images matters: `python -m bench.orders DATA`.

MobileNetV2 at w8a8 as in docs/accuracy.md, calibrated on the same images sorted by class, reversed, and in three shuffles;
prints the accuracy and agreement of each on the test images, and how many different artifacts there are.
"""

import argparse
import shlex

import numpy as np

import bitwright as bw
from bench import with_torchvision  # noqa: F401 - before anything imports torchvision
from bench.accuracy import ROWS
from bench.arguments import existing
from bitwright.cli.float_model import open_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=existing)
    parser.add_argument("--network", default="mobilenetv2", choices=[row.network for row in ROWS])
    parser.add_argument("--test", help="the images to test on, in place of those of docs/accuracy.md")
    args = parser.parse_args()
    (row,) = (row for row in ROWS if row.network == args.network)
    words = shlex.split(row.arguments)
    option = dict(zip(words[1::2], words[2::2], strict=True))
    loaded = open_model(words[0], args.data / option["--weights"])
    preprocess = loaded.preprocess
    assert preprocess is not None
    source = bw.open_source(str(args.data / option["--data"])).sample(int(option["--calibrate"]), seed=0)
    images = np.concatenate([batch.images for batch in source.batches(preprocess, 50)])
    images = images[np.argsort(source.labels, kind="stable")]
    test = bw.open_source(str(args.data / (args.test or option["--test"])))
    random = np.random.default_rng(0)
    orders = {"sorted": images, "reversed": images[::-1]}
    orders |= {f"shuffle {i}": random.permutation(images) for i in range(3)}
    made = set()
    for name, given in orders.items():
        artifact = bw.quantize(loaded.float_model, given, preprocess=preprocess)
        made.add(bw.Engine(artifact)(images[:50]).tobytes())
        found = bw.evaluate(artifact, test, reference=loaded.float_model)
        print(
            f"{name}: top-1 {found.top1:.2f} of {found.reference_top1:.2f}, agreement {found.agreement:.2f}", flush=True
        )
    print(f"{len(made)} different models")


if __name__ == "__main__":
    main()
