"""Has the checkout in a folder write torchvision's networks as artifacts: `OLD/.venv/bin/python -P write_artifacts.py OLD TO`.

Weights are random with fixed seeds (`tests/networks.py` of that checkout), without corrections. For `bench.same_logits`.
"""

import argparse
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    checkout, folder = given.checkout.resolve(), given.folder
    sys.path.insert(0, str(checkout))  # its tests and bench, whatever is installed here

    from bench.with_torchvision import torchvision
    from bitwright.quantization import quantize
    from bitwright.recipe import Recipe
    from tests.networks import TORCHVISION, network, pictures

    folder.mkdir(parents=True, exist_ok=True)
    for name in TORCHVISION:
        path = folder / f"{name}.bw.safetensors"
        if path.exists():
            continue
        model, preprocess = network(name, torchvision)
        quantize(model, pictures(preprocess, 16), preprocess=preprocess, recipe=Recipe(algorithms=())).save(path)
        print(path, flush=True)


if __name__ == "__main__":
    main()
