"""`CORRUPTIONS`: what happens to pictures on their way to a model, at three strengths each.

After Hendrycks & Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", on pixels
as the model sees them, so that both models see the same ones. The same seed gives the same noise.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Corruption:
    """One kind: `apply` takes uint8 [N, H, W, C] and a setting, `unit` says what the settings are."""

    name: str
    unit: str
    settings: tuple[float, ...]
    apply: Callable[[Pixels, float], Pixels]

    def describe(self, setting: float) -> str:
        """A setting, in words."""
        return f"{self.unit} {setting:g}"


def noise(pixels: Pixels, sigma: float) -> Pixels:
    """Gaussian noise of this standard deviation on each number, of 255."""
    drawn = np.random.default_rng(0).normal(0.0, sigma, pixels.shape)
    return _pixels(pixels + drawn)


def blur(pixels: Pixels, sigma: float) -> Pixels:
    """A Gaussian blur of this standard deviation, in pixels."""
    return _each(pixels, lambda image: image.filter(ImageFilter.GaussianBlur(sigma)))


def jpeg(pixels: Pixels, quality: float) -> Pixels:
    """Pixels written to a JPEG file of this quality and read back."""

    def through(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(quality))
        return Image.open(file)

    return _each(pixels, through)


def brightness(pixels: Pixels, added: float) -> Pixels:
    """Pixels with `added`, in levels of 0..255, added to each number."""
    return _pixels(pixels.astype(np.float64) + added)


def _pixels(numbers: npt.NDArray[np.floating]) -> Pixels:
    found: Pixels = np.clip(np.rint(numbers), 0, 255).astype(np.uint8)
    return found


def _each(pixels: Pixels, change: Callable[[Image.Image], Image.Image]) -> Pixels:
    grey = pixels.shape[-1] == 1
    images = [change(Image.fromarray(image[..., 0] if grey else image)) for image in pixels]
    return np.stack([np.asarray(image)[..., None] if grey else np.asarray(image) for image in images])


CORRUPTIONS = (
    Corruption("noise", "sigma", (8, 16, 32), noise),
    Corruption("blur", "sigma", (0.5, 1, 2), blur),
    Corruption("jpeg", "quality", (50, 25, 10), jpeg),
    Corruption("brightness", "plus", (32, 64, 96), brightness),
)
