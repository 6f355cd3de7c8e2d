"""`Engine`: images in, logits out."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.artifact import Artifact, load
from bitwright.decode import decode
from bitwright.engine.backend import Backend, Layer, make_backend
from bitwright.errors import EngineError

Images = npt.NDArray[np.uint8] | str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class Engine:
    """Runs an artifact, given as an `Artifact` or as the path of one. Many threads may call one engine at once.

    backend: "native" (C++), "reference" (NumPy), or None: native where it was built. They give the same bytes.
    threads: how many share the work of a call; None: all that this process may use. The reference does not count them.
    isa: the instructions that the native backend may use: "scalar", "avx2", "avxvnni", "avx512", "avx512vnni_novbmi",
        "avx512vnni" or "amx"; None: what BITWRIGHT_ISA says, else all that this processor has. EngineError for a name that
        is unknown, or that this processor has not.
    """

    def __init__(
        self,
        artifact: Artifact | str | os.PathLike[str],
        *,
        backend: str | None = None,
        threads: int | None = None,
        isa: str | None = None,
    ) -> None:
        self.artifact = artifact if isinstance(artifact, Artifact) else load(artifact)
        self._backend: Backend = make_backend(self.artifact.graph, backend, threads, isa)

    def __call__(self, images: Images) -> npt.NDArray[np.float32]:
        """Logits, float32 [N, classes], of uint8 images [N, H, W, C], or of image files (decoded and preprocessed here).

        Raises EngineError for an array of another dtype or shape, ImageError for a file that cannot be read.
        """
        return self._backend.run(self._codes(images))

    def trace(self, images: Images) -> dict[str, npt.NDArray[Any]]:
        """Every value by name: codes uint8 [N, C, H, W] or [N, F], and the logits. Holds all of them at once."""
        return {name: np.ascontiguousarray(value) for name, value in self._backend.values(self._codes(images))}

    def explain(self) -> list[Layer]:
        """What runs for one image, layer by layer: the kernel, its time and share, MACs, bytes, percent of measured peak.

        Raises EngineError for a backend that has no kernels.
        """
        return self._backend.layers(self._codes(np.zeros((1, *self.artifact.preprocess.shape), np.uint8)))

    def _codes(self, images: Images) -> npt.NDArray[np.uint8]:
        """What the graph reads: the pixels, or the bits that the preprocessing's encoder makes of them."""
        return self.artifact.preprocess.encode(self._pixels(images))

    def _pixels(self, images: Images) -> npt.NDArray[np.uint8]:
        pre = self.artifact.preprocess
        if isinstance(images, str | os.PathLike):
            images = [images]
        if not isinstance(images, np.ndarray):
            try:
                paths = [Path(path) for path in images]
            except TypeError as error:
                raise EngineError(
                    f"expected an array or image files, found {type(images).__name__}: {error}"
                ) from error
            pixels = [pre.apply(decode(path, pre.mode, pre.background)) for path in paths]
            images = np.stack(pixels) if pixels else np.zeros((0, *pre.shape), np.uint8)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != pre.shape:
            height, width, channels = pre.shape
            raise EngineError(
                f"expected uint8 images of [N, {height}, {width}, {channels}], found {images.dtype} {list(images.shape)}; "
                "use artifact.preprocess.apply(image) to make one from a PIL image"
            )
        return images
