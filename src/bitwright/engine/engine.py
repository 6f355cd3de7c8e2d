"""`Engine`: images in, logits out."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from bitwright.artifact import Artifact, Trusted, from_bytes, opened
from bitwright.engine.backend import Backend, PlanStep, make_backend
from bitwright.errors import EngineError
from bitwright.images.decode import decode
from bitwright.images.preprocess import Preprocess

Picture = str | os.PathLike[str] | bytes | Image.Image
Images = npt.NDArray[np.uint8] | Picture | Iterable[Picture]


class Engine:
    """Runs an artifact. Many threads may call one engine at once.

    An engine can be pickled, for a pool of processes: by the bytes of its artifact, which are checked where it is read
    again.

    Args:
        artifact: an `Artifact`, or the path of one.
        backend: "native" (C++), "reference" (NumPy), or None: native where it was built. They give the same bytes.
        threads: how many share the work of a call; None: all that this process may use. The reference does not count
            them.
        isa: the instructions that the native backend may use: "scalar", "avx2", "avxvnni", "avx512",
            "avx512vnni_novbmi", "avx512vnni" or "amx", on aarch64 "scalar", "neon", "neon_dotprod" or "neon_i8mm"; None: what
            BITWRIGHT_ISA says, else all that this processor has.
        trust: the public keys, or files of them, one of which must have signed the file; see docs/security.md.
        check_weights: in so many calls the native backend compares all packed weights with their checksums, so that bits
            that flip in memory are found; None: never.

    Raises:
        SignatureError: none of the trusted keys has signed the file.
        ArtifactError: the file is missing, damaged, foreign or inconsistent.
        EngineError: the backend or `isa` is unknown, or this processor does not have it.
    """

    def __init__(
        self,
        artifact: Artifact | str | os.PathLike[str],
        *,
        backend: str | None = None,
        threads: int | None = None,
        isa: str | None = None,
        trust: "Trusted | None" = None,
        check_weights: int | None = None,
    ) -> None:
        self.artifact = opened(artifact, trust)
        self._made_with = {"backend": backend, "threads": threads, "isa": isa, "check_weights": check_weights}
        self._shape = self.artifact.preprocess.shape  # here, as making it takes as long as a small model's run
        encoder = self.artifact.preprocess.bits
        self._backend: Backend = make_backend(self.artifact.graph, backend, threads, isa, encoder, check_weights)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.artifact.data, self._made_with)

    def __call__(self, images: Images) -> npt.NDArray[np.float32]:
        """Compute logits, float32 [N, classes]; N is 1 for a single image.

        Args:
            images: pixels as the model sees them, uint8 [N, H, W, C], or [H, W, C] for one, with the channels in the
                order of the preprocessing's mode; or a picture, or several: a file's path or bytes, or a PIL picture
                (taken as it stands), which are decoded and preprocessed here.

        Raises:
            EngineError: an array of another dtype or shape, or no image at all.
            WeightsError: weights have changed in memory.
            ImageError: a file that cannot be read.
        """
        return self._backend.run(self._pixels(images))

    def outputs(self, images: Images) -> dict[str, npt.NDArray[np.float32]]:
        """Every output by the name that it was captured by, float32 [N, ...], the logits first; where it had none, "logits"."""
        found = self._backend.outputs(self._pixels(images))
        return dict(zip(self.artifact.graph.named_outputs, found, strict=True))

    def trace(self, images: Images) -> dict[str, npt.NDArray[Any]]:
        """Every value by name: codes uint8 [N, C, H, W] or [N, F], and the logits. Holds all of them at once."""
        return {name: np.ascontiguousarray(value) for name, value in self._backend.values(self._pixels(images))}

    def explain(self) -> list[PlanStep]:
        """Tell what runs for one image, step by step: kernel, time, share, MACs, bytes, percent of the measured peak.

        Raises:
            EngineError: the backend has no kernels.
        """
        return self._backend.layers(np.zeros((1, *self.artifact.preprocess.shape), np.uint8))

    def _pixels(self, images: Images) -> npt.NDArray[np.uint8]:
        pre = self.artifact.preprocess
        if isinstance(images, str | os.PathLike | bytes | Image.Image):
            images = [images]
        if not isinstance(images, np.ndarray):
            if not isinstance(images, Iterable):
                raise EngineError(f"expected an array or pictures, found {type(images).__name__}: {images!r:.100}")
            pixels = [pre.apply(_opened(picture, pre)) for picture in images]
            images = np.stack(pixels) if pixels else np.zeros((0, *self._shape), np.uint8)
        found = images.shape
        images = images[None] if images.ndim == 3 else images
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != self._shape:
            shape = ", ".join(map(str, self._shape))
            raise EngineError(
                f"expected uint8 images of [N, {shape}], or one of [{shape}], found {images.dtype} {list(found)}; "
                "use artifact.preprocess.apply(image) to make one from a PIL image"
            )
        return images


def _again(data: bytes, made_with: dict[str, Any]) -> Engine:
    return Engine(from_bytes(data), **made_with)


def _opened(picture: Picture, pre: Preprocess) -> Image.Image:
    if isinstance(picture, Image.Image):
        return picture
    if isinstance(picture, bytes):
        return decode(picture, pre.colours, pre.background)
    if isinstance(picture, str | os.PathLike):
        return decode(Path(picture), pre.colours, pre.background)
    raise EngineError(
        f"expected a path, the bytes of a file or a PIL picture, found {type(picture).__name__}: {picture!r:.100}; "
        "several arrays go in one, uint8 [N, H, W, C]"
    )
