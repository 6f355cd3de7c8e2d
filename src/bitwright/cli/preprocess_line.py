"""A preprocessing in one line, for people: whoever reads it sees at once that a mean is missing or a size is wrong."""

from bitwright.artifact import Artifact
from bitwright.cli.output import report, shape
from bitwright.images.encoders import in_words as encoder_in_words
from bitwright.images.preprocess import Preprocess


def in_words(preprocess: Preprocess) -> str:
    """RGB, shorter side to 256 by bilinear, crop to 224x224, (pixel / 255 - 0.485,0.456,0.406) / 0.229,0.224,0.225"""
    size, resize = shape(preprocess.shape[:2]), preprocess.resize
    if resize is None:
        resized = f"resized to cover {size} by {preprocess.interpolation}"
    elif isinstance(resize, tuple):
        resized = f"stretched to {shape(resize)} by {preprocess.interpolation}"
    else:
        resized = f"shorter side to {resize} by {preprocess.interpolation}"
    crop = [] if isinstance(resize, tuple) and resize == preprocess.shape[:2] else [f"crop to {size}"]
    encoder = [] if preprocess.encoder is None else [f"as bits by {encoder_in_words(preprocess.encoder)}"]
    return ", ".join([preprocess.mode, resized, *crop, _real(preprocess), *encoder])


def tell(artifact: Artifact, called: str = "") -> None:
    """Report the preprocessing that an artifact brings with it."""
    report(f"preprocess{called}: {in_words(artifact.preprocess)}; from the artifact")


def _real(preprocess: Preprocess) -> str:
    """The real number that a pixel becomes, as a formula."""
    scale = preprocess.scale
    inverse = 1 / scale
    if scale == 1:
        pixel = "pixel"
    elif abs(inverse - round(inverse)) < 1e-9 * inverse:
        pixel = f"pixel / {round(inverse)}"
    else:
        pixel = f"pixel * {scale:g}"
    return f"({pixel} - {_numbers(preprocess.mean)}) / {_numbers(preprocess.std)}"


def _numbers(values: float | tuple[float, ...]) -> str:
    numbers = values if isinstance(values, tuple) else (values,)
    return f"{numbers[0]:g}" if len(set(numbers)) == 1 else ",".join(f"{number:g}" for number in numbers)
