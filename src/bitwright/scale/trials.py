"""What a sweep is made of: the numbers to try, the trials, and what they found."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from bitwright.errors import TrainingError, did_you_mean
from bitwright.training import Options

Numbers = Mapping[str, Any]
"""Fields of `Options`, and their values in a trial."""


@dataclass(frozen=True)
class Trial:
    """A training run of a sweep.

    Attributes:
        numbers: what is its own of the options.
        top1: of its integer model on the held-out images, in percent.
        images: how many of these could be read.
        minutes: of training.
        artifact: the file.
        error: why there is none of these, where it could not be trained; such a trial is tried again by the next sweep.
    """

    numbers: Numbers
    top1: float | None = None
    images: int = 0
    minutes: float = 0.0
    artifact: str | None = None
    error: str | None = None

    @property
    def name(self) -> str:
        """Its numbers, as in `ema=0.5,lr=0.01`, in whatever order they were given."""
        said = (f"{name}={'+'.join(v) if isinstance(v, tuple) else v}" for name, v in sorted(self.numbers.items()))
        return ",".join(said)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "numbers": dict(self.numbers)}


@dataclass(frozen=True)
class Sweep:
    """What a sweep found: every trial, in the order of the numbers given. `best` has the greatest top-1, the first of these."""

    held_out: str
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """See above. TrainingError where no trial could be trained."""
        trained = [trial for trial in self.trials if trial.top1 is not None]
        if not trained:
            raise TrainingError(f"no trial could be trained; {self.trials[0].name}: {self.trials[0].error}")
        return max(trained, key=lambda trial: trial.top1 or 0.0)

    def to_json(self) -> dict[str, Any]:
        """Plain data; raises as `best` does."""
        trials = [trial.to_json() for trial in self.trials]
        return {"held_out": self.held_out, "trials": trials, "best": self.trials.index(self.best)}


def parse_numbers(texts: Iterable[str]) -> dict[str, tuple[Any, ...]]:
    """`lr=0.01,0.02` and its like: fields of `Options` with the values to try; several augmentations are joined by +.

    Raises:
        TrainingError: a text is of another form, or there is no such option.
    """
    known = {field.name: field.default for field in fields(Options)}
    found: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        name, _, values = text.partition("=")
        if (name := name.strip().replace("-", "_")) not in known or not values:
            names = [each.replace("_", "-") for each in known]
            near = did_you_mean(name.replace("_", "-"), names)
            raise TrainingError(f"expected NAME=VALUE,VALUE with a NAME among {', '.join(names)}; found {text!r}{near}")
        if name in found:
            raise TrainingError(f"{name} is given twice; give all its values at once: {name}=VALUE,VALUE")
        try:
            found[name] = tuple(_value(name, known[name], value.strip()) for value in values.split(","))
        except ValueError as error:
            raise TrainingError(f"{text!r}: {error}") from error
        for value in found[name]:
            replace(Options(), **{name: value})
    return found


def _value(name: str, default: Any, text: str) -> Any:
    if isinstance(default, bool):
        if text not in ("true", "false"):
            raise ValueError(f"expected true or false, found {text!r}")
        return text == "true"
    if name == "augment":
        return () if text == "none" else tuple(filter(None, text.split("+")))
    kind = float if default is None else type(default)
    try:
        found = kind(text)
    except ValueError:
        raise ValueError(f"expected {'a whole number' if kind is int else 'a number'}, found {text!r}") from None
    return found
