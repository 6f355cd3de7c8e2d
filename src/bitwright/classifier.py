"""`Classifier`: pictures in, predictions out, as fast as the processors allow. Imports no torch.

Where there are many images, each thread decodes a few and runs the engine on them by itself:

    thread 1:  decode 0..15   engine 0..15   decode 32..47  engine 32..47  ...
    thread 2:  decode 16..31  engine 16..31  decode 48..63  ...

so that files are decoded while the engine runs, no thread waits for another, and it does not matter which of the two takes
longer. Predictions come out in the order of the images. A single image gets all threads of the engine.
"""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sized
from functools import cached_property, partial
from numbers import Integral
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from bitwright.ahead import ahead, usable_processors
from bitwright.artifact import Artifact, Trusted, opened
from bitwright.engine import Engine
from bitwright.errors import EngineError, ImageError
from bitwright.images.decode import open_image
from bitwright.images.sources import ImageSource, open_source
from bitwright.prediction import class_logits, probabilities
from bitwright.progress import SILENT, Progress
from bitwright.records import Guess, Prediction

Picture = str | os.PathLike[str] | bytes | Image.Image | npt.NDArray[np.uint8]
Item = tuple[str, Callable[[], Image.Image | npt.NDArray[np.uint8]]]
BATCH = 16
_AHEAD = 2  # batches in flight for each thread: one that it works on, one that waits for it


class Classifier:
    """Classifies pictures with an artifact: decodes, preprocesses, runs the engine, names the classes.

    It needs no PyTorch.

    Args:
        artifact: an `Artifact`, or the path of one.
        backend: as in `Engine`.
        threads: how many decode and run the engine; None: one for each processor that this process may use.
        batch: how many images, at most, a thread runs through the engine at once.
        trust: as in `Engine`.
        check_weights: as in `Engine`.

    Attributes:
        engine: what runs a single image, on all threads.

    Raises:
        ArtifactError: the file is missing, damaged, foreign or inconsistent.
        SignatureError: none of the trusted keys has signed it.
        EngineError: `threads` or `batch` is below 1.
    """

    def __init__(
        self,
        artifact: Artifact | str | os.PathLike[str],
        *,
        backend: str | None = None,
        threads: int | None = None,
        batch: int = BATCH,
        trust: "Trusted | None" = None,
        check_weights: int | None = None,
    ) -> None:
        if not _is_count(batch):
            raise EngineError(f"expected a batch of at least 1 image, found {batch!r:.100}")
        self.artifact = opened(artifact, trust)
        self.threads = usable_processors() if threads is None else threads
        self.batch = batch
        self._backend, self._check_weights = backend, check_weights
        self.engine = Engine(self.artifact, backend=backend, threads=threads, check_weights=check_weights)

    def __call__(
        self, images: Picture | Iterable[Picture] | ImageSource, top: int = 5, progress: Progress = SILENT
    ) -> list[Prediction]:
        """One prediction for each image, in order; see `stream`. `progress` hears of each."""
        found = list[Prediction]()
        total = len(images) if isinstance(images, Sized) and not isinstance(images, str | bytes) else 1
        for prediction in self.stream(images, top):
            found.append(prediction)
            progress.at("classifying", len(found), max(total, len(found)))
        return found

    def stream(self, images: Picture | Iterable[Picture] | ImageSource, top: int = 5) -> Iterator[Prediction]:
        """Yield a prediction with the `top` best classes for each image, in order, while later ones are still decoded.

        An image that cannot be read gives a prediction with an `error`.

        Args:
            images: a file's path or bytes, a PIL picture (taken as it stands), a uint8 array [h, w], [h, w, 1] or [h,
                w, 3] of any size, several of these, an array [N, h, w, C] of them, an image source, or the path of a
                folder, whose images are taken as `open_source` takes them. Each goes through the preprocessing.
            top: how many classes each prediction has at most.

        Raises:
            EngineError: something is no image at all, or `top` is below 1.
            SourceError: a folder has no images.
        """
        if not _is_count(top):
            raise EngineError(f"expected at least 1 class for each image, found top={top!r:.100}")
        items, count = _items(images)
        if count == 1:
            yield from self._classified(list(items), self.engine, top)
            return
        batch = self.batch if count is None else max(1, min(self.batch, -(-count // (_AHEAD * self.threads))))
        chunks = iter(lambda: list(itertools.islice(items, batch)), [])
        classified = partial(self._classified, engine=self._engine_of_a_thread, top=top)
        for found in ahead(classified, chunks, self.threads, _AHEAD * self.threads, "bitwright-classify"):
            yield from found

    def in_this_thread(self, images: Iterable[Picture], top: int = 5) -> list[Prediction]:
        """One prediction for each of a few images, decoded and run by the calling thread alone.

        For a server, which has threads of its own; any number of them may call this at once.
        """
        items, _ = _items(images)
        return self._classified(list(items), self._engine_of_a_thread, top)

    @cached_property
    def _engine_of_a_thread(self) -> Engine:
        """The engine that every thread runs by itself."""
        if self.threads == 1:
            return self.engine
        return Engine(self.artifact, backend=self._backend, threads=1, check_weights=self._check_weights)

    def _classified(self, items: list[Item], engine: Engine, top: int) -> list[Prediction]:
        pixels, found = list[npt.NDArray[np.uint8]](), dict[int, Prediction]()
        for i, (name, read) in enumerate(items):
            try:
                pixels.append(self.artifact.preprocess.apply(read()))
            except ImageError as error:
                reason = str(error).removeprefix(f"{name}: ").removeprefix("image in memory: ")
                found[i] = Prediction(name, error=f"{name}: {reason}")
        if pixels:
            named = [(i, name) for i, (name, _) in enumerate(items) if i not in found]
            logits = engine(np.stack(pixels))
            of_classes = zip(logits, class_logits(logits), probabilities(logits), strict=True)
            for (i, name), (raw, ranked, shares) in zip(named, of_classes, strict=True):
                best = np.argsort(-ranked, kind="stable")[:top]
                guesses = (Guess(int(k), self.artifact.class_names[k], float(shares[k])) for k in best)
                found[i] = Prediction(name, tuple(guesses), raw)
        return [found[i] for i in range(len(items))]


def _is_count(number: object) -> bool:
    return isinstance(number, Integral) and not isinstance(number, bool) and int(number) >= 1


def _items(images: Picture | Iterable[Picture] | ImageSource) -> tuple[Iterator[Item], int | None]:
    """Each image's name, and what reads it; and how many there are, where that is known without reading them."""
    if isinstance(images, str | os.PathLike) and os.path.isdir(images):
        images = open_source(os.fsdecode(images))
    if isinstance(images, ImageSource):
        return ((images.name(i), partial(images.read, i)) for i in range(len(images))), len(images)
    if isinstance(images, np.ndarray):
        images = list(images) if images.ndim == 4 else [images]
    elif isinstance(images, str | os.PathLike | bytes | Image.Image):
        images = [images]
    if not isinstance(images, Iterable):
        raise EngineError(f"expected images, found {type(images).__name__}: {images!r:.100}")
    return (_item(image, i) for i, image in enumerate(images)), len(images) if isinstance(images, Sized) else None


def _item(image: Picture, position: int) -> Item:
    if isinstance(image, np.ndarray | Image.Image):
        given = image
        return str(getattr(image, "filename", "") or f"image {position}"), lambda: given
    if isinstance(image, bytes):
        return f"image {position}", partial(open_image, image)
    if isinstance(image, str | os.PathLike):
        return os.fspath(image), partial(open_image, Path(image))
    raise EngineError(
        f"expected image {position} to be a path, the bytes of a file, a PIL picture or a uint8 array, "
        f"found {type(image).__name__}"
    )
