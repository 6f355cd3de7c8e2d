"""The C library for aarch64 in an emulator, as `scripts/arm` builds it: the bytes of this machine's engine on every processor.

cortex-a53 has Advanced SIMD alone, neoverse-n1 dot products, and max matrices of 8 bits as well.
"""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitwright.artifact import Artifact
from bitwright.engine import Engine
from bitwright.images.preprocess import Preprocess
from bitwright.images.resize import INTERPOLATIONS, NATIVE
from tests import pinned
from tests.artifact import sample
from tests.conformance.test_encoders import SPECS
from tests.conftest import REPOSITORY
from tests.engine.test_encoders import network

PROGRAM = REPOSITORY / "build" / "arm" / "logits"
RESIZE = PROGRAM.with_name("resize")
PROCESSORS = {"cortex-a53": "neon", "neoverse-n1": "neon_dotprod", "max": "neon_i8mm"}

pytestmark = pytest.mark.skipif(
    not PROGRAM.exists() or not shutil.which("qemu-aarch64"), reason="needs what scripts/arm builds, and qemu-aarch64"
)


def emulated(
    processor: str, made: Artifact, pixels: bytes, folder: Path, isa: str = ""
) -> subprocess.CompletedProcess[bytes]:
    made.save(folder / "artifact")
    (folder / "pixels").write_bytes(pixels)
    command = ["qemu-aarch64", "-cpu", processor, *(["-E", f"BITWRIGHT_ISA={isa}"] if isa else [])]
    return subprocess.run([*command, PROGRAM, folder / "artifact", folder / "pixels"], capture_output=True, check=False)


@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("name", pinned.NAMES)
def test_pinned_networks_have_their_logits(name: str, processor: str, tmp_path: Path) -> None:
    made = pinned.artifact(name)
    images = pinned.images(name, made.preprocess.shape)
    found = emulated(processor, made, images.tobytes(), tmp_path)
    assert found.returncode == 0, found.stderr
    assert found.stdout == Engine(made)(images).tobytes()
    assert hashlib.sha256(found.stdout).hexdigest() == json.loads(pinned.KEPT.read_text())[name]["logits"]


@pytest.mark.parametrize("processor", PROCESSORS)
def test_every_op_has_its_logits(processor: str, tmp_path: Path) -> None:
    pre = Preprocess(size=(5, 7), encoder=SPECS[-1])
    assert pre.bits is not None
    for made in (sample.make("int8"), sample.make("binary"), Artifact(network(pre.bits, 3, (5, 7)), pre)):
        images = pinned.images("arm", made.preprocess.shape)
        found = emulated(processor, made, images.tobytes(), tmp_path)
        assert (found.returncode, found.stdout) == (0, Engine(made)(images).tobytes()), found.stderr


@pytest.mark.parametrize("processor", PROCESSORS)
def test_it_uses_what_the_processor_has(processor: str, tmp_path: Path) -> None:
    sets, made = ["scalar", *PROCESSORS.values()], sample.make()
    for isa in sets:
        found = emulated(processor, made, b"", tmp_path, isa)
        there = sets.index(isa) <= sets.index(PROCESSORS[processor])
        assert (found.returncode == 0) == there, found.stderr
        assert there or b"this processor has no" in found.stderr


@pytest.mark.parametrize("filter_", [name for name in INTERPOLATIONS if name in NATIVE])
@pytest.mark.parametrize(("size", "new"), [((61, 47), (40, 31)), ((13, 9), (30, 41)), ((1, 700), (1, 1))])
def test_resized_pictures_have_the_bytes_of_pillow(filter_: str, size: tuple[int, int], new: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    number = [name for name in INTERPOLATIONS if name in NATIVE].index(filter_)
    for pixels in (noise, (noise > 127).astype(np.uint8) * 255):
        command = ["qemu-aarch64", "-cpu", "cortex-a53", str(RESIZE), *map(str, (*size, *new, number))]
        found = subprocess.run(command, input=pixels.tobytes(), capture_output=True, check=True)
        expected = Image.fromarray(pixels).resize(new[::-1], INTERPOLATIONS[filter_])
        assert found.stdout == expected.tobytes()
