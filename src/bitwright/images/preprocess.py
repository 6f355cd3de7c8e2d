"""Turns a picture into what a model reads: resize, centre crop, uint8 pixels, perhaps bits; and their real values.

It is part of the artifact, so that training, evaluation and the engine can't disagree about a single pixel. Resizing is
PIL's and the sizes are torchvision's, so that a model trained behind torchvision's transforms sees what it was trained on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from bitwright.errors import ImageError, PreprocessError
from bitwright.images.colour import WHITE, Colour, Mode, to_mode
from bitwright.images.encoders import Encoder, encoder
from bitwright.images.image_limits import check_pixels, pixel_limit
from bitwright.images.preprocess_fields import (
    check_choice,
    check_covers,
    colour,
    finite,
    pair,
    per_channel,
    positive,
    text,
)
from bitwright.images.resize import INTERPOLATIONS, resized

Order = Literal["RGB", "BGR", "L"]
CHANNELS = {"RGB": 3, "BGR": 3, "L": 1}
"""How many channels the pixels of each mode have."""


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes uint8 [H, W, C], and how those pixels become the model's real input.

    Real input, per channel: (pixel * scale - mean) / std. So the usual x/255 is the default `scale`, a model fed with
    raw 0..255 has `scale=1`, and x - 128 is `scale=1, mean=128`.

    Numbers become tuples when the record is made.

    Attributes:
        size: (H, W) of the model's input; one number for a square.
        resize: what happens before the centre crop to `size`.
            None: the picture is resized, its shape kept, until it just covers `size`; at `size` it is left untouched.
            int: the shorter side becomes this, the longer one int(resize * longer / shorter), as in torchvision.
            (h, w): stretched to exactly this.
        mean: one number, or one per channel.
        std: one number, or one per channel; above 0.
        scale: what a pixel is multiplied by first; above 0.
        mode: the order of the channels: "RGB"; "BGR", as models from Caffe and OpenCV have it; or "L" for grey. Pixels, `mean`
            and `std` are in this order; the background is RGB whatever it is.
        interpolation: a key of INTERPOLATIONS; PIL's filters, antialiased.
        background: the RGB colour under transparent pixels.
        encoder: None, or how the pixels become the bits that the integer model reads: `threshold` (`:128`, or any level;
            `:otsu`), `dither`, `bitplanes` (`:8`) or `thermometer` (`:8`). The float model still gets the pixels.

    Raises:
        PreprocessError: when made with values that make no sense; names the field, what it must be and what it is.
    """

    size: tuple[int, int] | int
    resize: int | tuple[int, int] | None = None
    mean: float | tuple[float, ...] = 0.0
    std: float | tuple[float, ...] = 1.0
    scale: float = 1 / 255
    mode: Order = "RGB"
    interpolation: str = "bilinear"
    background: Colour = WHITE
    encoder: str | None = None

    def __post_init__(self) -> None:
        check_choice("mode", self.mode, CHANNELS)
        check_choice("interpolation", self.interpolation, INTERPOLATIONS)
        size = pair("size", self.size)
        resize = self.resize
        if resize is not None:
            resize = positive("resize", resize) if isinstance(resize, Integral) else pair("resize", resize)
            check_covers(resize, size)
        mean, std = (per_channel(name, getattr(self, name), CHANNELS[self.mode]) for name in ("mean", "std"))
        scale = finite("scale", self.scale)
        for name, number in (("std", min(std)), ("scale", scale)):
            if number <= 0:
                raise PreprocessError(f"preprocess: {name} must be above 0; found {number}")
        bits = None if self.encoder is None else str(encoder(text("encoder", self.encoder)))
        normal = {"size": size, "resize": resize, "mean": mean, "std": std, "scale": scale}
        for name, value in (*normal.items(), ("background", colour(self.background)), ("encoder", bits)):
            object.__setattr__(self, name, value)  # the one way to set a field of a frozen record
        if not np.isfinite(self._reals()).all():
            raise PreprocessError(
                f"preprocess: (pixel * scale - mean) / std must fit float32; found mean {self.mean}, std {self.std}, "
                f"scale {self.scale}"
            )

    @property
    def channels(self) -> int:
        """3 for RGB, 1 for L."""
        return CHANNELS[self.mode]

    @property
    def colours(self) -> Mode:
        """What a picture is turned into before its channels are put in order: RGB or grey."""
        return "L" if self.mode == "L" else "RGB"

    @property
    def bits(self) -> Encoder | None:
        """What makes bits of the pixels; None where the model reads the pixels themselves."""
        return None if self.encoder is None else encoder(self.encoder)

    @property
    def codes_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of what the integer model reads: C channels of pixels, or C planes of bits."""
        height, width, channels = self.shape
        return channels * (1 if self.bits is None else self.bits.planes), height, width

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of what `apply` returns."""
        return (*pair("size", self.size), self.channels)

    def apply(self, image: Image.Image | npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the pixels that the model sees, uint8 [H, W, C].

        `image` is a PIL picture of any mode, taken as it stands (`decode` has turned it upright), or a uint8 array
        [h, w], [h, w, 1] (grey) or [h, w, 3] (RGB).

        Raises:
            ImageError: an array of another type or shape; a picture that can't be loaded or resized in bounds.
        """
        picture = _picture(image) if isinstance(image, np.ndarray) else image
        picture = to_mode(picture, self.colours, self.background)
        height, width = self._resized(picture.height, picture.width)
        if (height, width) != (picture.height, picture.width):
            check_pixels(width, height, pixel_limit())  # a picture one pixel wide would grow without bound
        out_height, out_width, channels = self.shape
        top, left = round((height - out_height) / 2), round((width - out_width) / 2)  # torchvision's: half to even
        pixels = resized(picture, (height, width), self.interpolation, (top, left, out_height, out_width))
        pixels = pixels.reshape(out_height, out_width, channels)
        return np.ascontiguousarray(pixels[..., ::-1]) if self.mode == "BGR" else pixels

    def encode(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return what the integer model reads of pixels [N, H, W, C]: themselves, or their bits, uint8 [N, H, W, planes]."""
        return pixels if self.bits is None else self.bits.encode(pixels)

    def affine(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return (scale, offset), float64 [C] each, with real = scale * pixel + offset."""
        mean, std = np.array(self.mean, np.float64), np.array(self.std, np.float64)
        return self.scale / std, -mean / std

    def zero_point(self) -> npt.NDArray[np.int64]:
        """Return the pixel nearest to real zero, int64 [C] in 0..255: what the first layer is padded with (or its bits)."""
        mean = np.array(self.mean, np.float64)
        with np.errstate(over="ignore"):
            return np.clip(np.rint(mean / self.scale), 0, 255).astype(np.int64)

    def normalise(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return the float model's input: uint8 [N, H, W, C] -> float32 [N, C, H, W].

        Each value is the exact real one, rounded once.

        Raises:
            PreprocessError: `pixels` has another type or shape.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != self.shape:
            expected = ", ".join(map(str, self.shape))
            raise PreprocessError(
                f"normalise: expected uint8 [N, {expected}], found {pixels.dtype} {list(pixels.shape)}; "
                "make pixels with Preprocess.apply"
            )
        reals = self._reals()
        out = np.empty((len(pixels), self.channels, *self.shape[:2]), np.float32)
        for channel in range(self.channels):
            out[:, channel] = reals[channel][pixels[..., channel]]
        return out

    def to_json(self) -> dict[str, Any]:
        """Return plain data that JSON can hold; `from_json` gives an equal record back. No encoder: no such key."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.encoder is None:
            del plain["encoder"]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}

    @classmethod
    def from_json(cls, data: object) -> "Preprocess":
        """Read what `to_json` wrote.

        Raises:
            PreprocessError: a key is missing or unknown, or a value has the wrong type or makes no sense.
        """
        if not isinstance(data, Mapping):
            raise PreprocessError(f"preprocess: expected an object, found {type(data).__name__}")
        known = {field.name for field in fields(cls)}
        missing, unknown = known - {"encoder"} - set(data), set(data) - known
        if missing or unknown:
            raise PreprocessError(
                f"preprocess: missing keys {sorted(missing)}, unknown keys {sorted(map(str, unknown))}"
            )
        if "encoder" in data:
            text("encoder", data["encoder"])
        for name in ("size", "mean", "std", "background"):
            if not isinstance(data[name], list):
                raise PreprocessError(f"preprocess: {name} must be a list; found {data[name]!r}")
        for value in (data["scale"], *data["mean"], *data["std"]):
            if type(value) is int and not -(2**63) <= value < 2**63:  # the C++ reader has no others
                raise PreprocessError(
                    "preprocess: scale, mean and std must be numbers; found an integer beyond 64 bits"
                )
        return cls(**data)

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) that a picture of this size has before the crop."""
        if isinstance(self.resize, tuple):
            return self.resize
        # The shape is kept: one side, the bound one, becomes `target`, the other follows, rounded down.
        if self.resize is None:
            out_height, out_width, _ = self.shape
            height_is_bound = out_height * width >= out_width * height
            target = out_height if height_is_bound else out_width
        else:
            height_is_bound = height <= width
            target = self.resize
        if height_is_bound:
            return target, target * width // height
        return target * height // width, target

    def _reals(self) -> npt.NDArray[np.float32]:
        """Return the real value of every pixel value, float32 [C, 256]; infinite where float32 is too small."""
        mean, std = np.array(self.mean, np.float64)[:, None], np.array(self.std, np.float64)[:, None]
        with np.errstate(over="ignore", invalid="ignore"):
            return ((np.arange(256) * self.scale - mean) / std).astype(np.float32)


def _picture(array: npt.NDArray[np.uint8]) -> Image.Image:
    is_picture = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3))
    if array.dtype != np.uint8 or not is_picture or array.size == 0:
        raise ImageError(
            f"expected a uint8 array [h, w], [h, w, 1] or [h, w, 3], found {array.dtype} {list(array.shape)}; "
            "convert it to 8-bit grey or RGB"
        )
    return Image.fromarray(array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array)


def expect_preprocess(found: object) -> None:
    """Raise PreprocessError where this is no `Preprocess`, but, say, a dictionary of its fields."""
    if not isinstance(found, Preprocess):
        raise PreprocessError(
            f"expected a Preprocess, found {type(found).__name__}; make one: bitwright.Preprocess(size=224, mean=..., std=...)"
        )
