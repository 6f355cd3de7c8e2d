"""What a wheel must do where it is installed alone, without torch, a compiler or this repository's other files.

python tests/smoke.py [--models]     from a folder that holds examples/cifar10; cibuildwheel runs it on every wheel

With --models the wheel of bitwright-models is installed, too.
"""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import numpy as np

import bitwright as bw

IMAGES = (np.arange(3 * 32 * 32 * 3) * 7919 % 251).astype(np.uint8).reshape(3, 32, 32, 3)


def main() -> None:
    files = sorted(Path("examples/cifar10").glob("*.bw.safetensors"))
    assert len(files) >= 5, files
    for file in files:
        artifact = bw.load(file)
        native = bw.Engine(artifact, backend="native")(IMAGES)
        reference = bw.Engine(artifact, backend="reference")(IMAGES)
        assert native.tobytes() == reference.tobytes(), file
        assert not np.array_equal(native[0], native[1]), file
    done = subprocess.run([sys.executable, "-m", "bitwright", "inspect", files[0]], capture_output=True, check=True)
    assert b"conv2d" in done.stdout
    made = subprocess.run(
        [sys.executable, "-m", "bitwright", "zoo", "make", "resnet20-w4a4", "-o", "made"],
        capture_output=True,
        check=False,
    )
    if "--models" in sys.argv:
        assert made.returncode == 0, made.stderr
        assert Path("made").read_bytes() == Path("examples/cifar10/resnet20-w4a4.bw.safetensors").read_bytes()
    else:
        assert made.returncode == 1
        assert b"pip install 'bitwright[models]'" in made.stderr, made.stderr
    assert "torch" not in sys.modules
    assert importlib.metadata.version("bitwright") == bw.__version__
    print(f"bitwright {bw.__version__} on Python {sys.version.split()[0]}: {len(files)} artifacts")


if __name__ == "__main__":
    main()
