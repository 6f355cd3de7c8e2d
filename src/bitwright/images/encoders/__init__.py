"""The table of encoders: ways to turn an image into bits. A newcomer is one file and one line here."""

from functools import lru_cache

from bitwright.errors import PreprocessError
from bitwright.images.encoders.bitplanes import Bitplanes
from bitwright.images.encoders.dither import Dither
from bitwright.images.encoders.encoder import Encoder, Pointwise
from bitwright.images.encoders.thermometer import Thermometer
from bitwright.images.encoders.threshold import Threshold

ENCODERS: dict[str, type[Encoder]] = {kind.name: kind for kind in (Threshold, Dither, Bitplanes, Thermometer)}


@lru_cache
def encoder(spec: str) -> Encoder:
    """Return the encoder spelled NAME or NAME:OPTION, as in thermometer:8; PreprocessError where there is none."""
    name, colon, option = spec.partition(":")
    if name not in ENCODERS:
        usages = ", ".join(kind.usage for kind in ENCODERS.values())
        raise PreprocessError(f"preprocess: encoder must be one of {usages}; found {spec!r:.100}")
    try:
        return ENCODERS[name].read(option if colon else None)
    except ValueError as error:
        raise PreprocessError(
            f"preprocess: encoder {name} takes {error}, as in {ENCODERS[name].usage}; found {spec!r:.100}"
        ) from None


__all__ = ["ENCODERS", "Encoder", "Pointwise", "encoder"]
