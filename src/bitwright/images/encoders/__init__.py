"""The table of encoders: ways to turn an image into bits. A newcomer is one file and one line here."""

import inspect
from functools import lru_cache

from bitwright.errors import PluginError, PreprocessError
from bitwright.images.encoders.bitplanes import Bitplanes
from bitwright.images.encoders.dither import Dither
from bitwright.images.encoders.encoder import Encoder, Pointwise
from bitwright.images.encoders.levels import Levels
from bitwright.images.encoders.thermometer import Thermometer
from bitwright.images.encoders.threshold import Threshold
from bitwright.registry import Registry, expect_name


def _check(name: str, thing: object) -> type[Encoder]:
    """A class from outside; what it reads is checked when it is read, by `Levels.of`."""
    if not (isinstance(thing, type) and issubclass(thing, Pointwise)) or inspect.isabstract(thing):
        missing = sorted(getattr(thing, "__abstractmethods__", ()))
        lacks = f", which lacks {', '.join(missing)}" if missing else ""
        raise PluginError(
            f"the encoder {name!r}: expected a class of bitwright.images.encoders.Pointwise, found {thing!r:.100}{lacks}"
        )
    expect_name(name, thing, "encoder")
    return thing


ENCODERS: Registry[type[Encoder]] = Registry(
    "encoder", {kind.name: kind for kind in (Threshold, Dither, Bitplanes, Thermometer, Levels)}, _check
)


@lru_cache
def encoder(spec: str) -> Encoder:
    """Return the encoder spelled NAME or NAME:OPTION, as in thermometer:8; PreprocessError where there is none.

    One from outside comes back as `Levels`: from then on its bits are data, in the preprocessing as in the artifact.
    """
    name, colon, option = spec.partition(":")
    if name not in ENCODERS:
        usages = ", ".join(kind.usage for kind in ENCODERS.usable().values())
        raise PreprocessError(f"preprocess: encoder must be one of {usages}; found {spec!r:.100}")
    kind = ENCODERS[name]
    try:
        found = kind.read(option if colon else None)
    except ValueError as error:
        raise PreprocessError(
            f"preprocess: encoder {name} takes {error}, as in {kind.usage}; found {spec!r:.100}"
        ) from None
    return found if name in ENCODERS.ours else Levels.of(found, str(found))


def in_words(spec: str) -> str:
    """The spelling of an encoder, for people: of one that is written out, the name that it had."""
    found = encoder(spec)
    return found.source if isinstance(found, Levels) else spec


__all__ = ["ENCODERS", "Encoder", "Levels", "Pointwise", "encoder", "in_words"]
