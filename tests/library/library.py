"""The C library as the build of the package has it: built where it is not, installed, and called by ctypes."""

import ctypes
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
import pytest

from tests.conftest import REPOSITORY

SIZE = ctypes.c_size_t
PLACE = ctypes.c_void_p


def cmake(*arguments: str | Path) -> None:
    done = subprocess.run(["cmake", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@cache
def build_folder() -> Path:
    """Where the extension module of this Python was built; the library is of the same objects."""
    found = sorted(REPOSITORY.glob(f"build/cp3{sys.version_info.minor}-*/CMakeCache.txt"))
    if not found:
        pytest.skip("needs the folder that the package was built in: pip install -e .")
    folder = found[0].parent
    cmake("--build", folder, "--target", "bitwright", "bitwright_static")
    return folder


class Library:
    """`bitwright.h` by ctypes."""

    def __init__(self) -> None:
        self.path = build_folder() / "csrc" / "library" / "libbitwright.so"
        self.c = ctypes.CDLL(str(self.path))
        self.c.bitwright_open.restype = self.c.bitwright_open_memory.restype = PLACE
        for name in ("bitwright_class_name", "bitwright_mode", "bitwright_version"):
            getattr(self.c, name).restype = ctypes.c_char_p

    def open(self, artifact: bytes | Path, threads: int = 1) -> "Model":
        """ValueError with the library's text where it refuses."""
        error = ctypes.create_string_buffer(300)
        if isinstance(artifact, Path):
            model = self.c.bitwright_open(str(artifact).encode(), threads, error, SIZE(300))
        else:
            model = self.c.bitwright_open_memory(artifact, SIZE(len(artifact)), threads, error, SIZE(300))
        assert (model is None) == bool(error.value)
        if model is None:
            raise ValueError(error.value.decode())
        return Model(self.c, PLACE(model))


class Model:
    def __init__(self, c: ctypes.CDLL, place: ctypes.c_void_p) -> None:
        self._c, self._place = c, place

    def __enter__(self) -> "Model":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._c.bitwright_close(self._place)

    @property
    def shape(self) -> tuple[int, int, int]:
        sides = (ctypes.c_int(), ctypes.c_int(), ctypes.c_int())
        self._c.bitwright_image(self._place, *map(ctypes.byref, sides))
        return sides[0].value, sides[1].value, sides[2].value

    @property
    def mode(self) -> str:
        return str(self._c.bitwright_mode(self._place).decode())

    @property
    def logits(self) -> int:
        return int(self._c.bitwright_logits(self._place))

    @property
    def class_names(self) -> tuple[str, ...]:
        count = self._c.bitwright_classes(self._place)
        assert self._c.bitwright_class_name(self._place, -1) is None
        assert self._c.bitwright_class_name(self._place, count) is None
        return tuple(self._c.bitwright_class_name(self._place, i).decode() for i in range(count))

    def run(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        error, images = ctypes.create_string_buffer(300), np.ascontiguousarray(images)
        found = np.empty((len(images), self.logits), np.float32)
        places = [array.ctypes.data_as(PLACE) for array in (images, found)]
        failed = self._c.bitwright_run(self._place, places[0], SIZE(len(images)), places[1], error, SIZE(300))
        assert failed == 0, error.value
        return found
