"""The options that say what classes are called and what labels mean, shared by the commands that compare the two."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from bitwright.class_files import read_classes
from bitwright.classes import ClassNames, some
from bitwright.cli.output import report
from bitwright.evaluation import known_classes, outputs_of
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources import ImageSource
from bitwright.labels import By, fit_labels, names_for, names_taken
from bitwright.prediction import class_count

if TYPE_CHECKING:
    from bitwright.models import LoadedModel

Function = Callable[..., Any]
OPTIONS = (
    click.option(
        "--classes",
        metavar="FILE",
        help="What the model's classes are called, in its order, or by the names it has: a text, JSON or CSV file.",
    ),
    click.option(
        "--labels",
        type=click.Choice(("name", "index", "none")),
        default="name",
        show_default=True,
        help="How labels are matched with classes: by name, by number or place, or not at all.",
    ),
)
limit_option = click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Only the first N images.")
force_option = click.option(
    "--force", is_flag=True, help="Judge by labels even where the float model is no better than guessing by them."
)


@dataclass(frozen=True)
class Naming:
    """What was given: the names of the classes, if any, and how labels are matched with them."""

    given: ClassNames | None
    by: By

    def of(self, loaded: "LoadedModel", preprocess: Preprocess) -> "Named":
        """The labels' meaning for a float model."""
        return Named(loaded, preprocess, self)


@dataclass(frozen=True)
class Named:
    """A float model, and what its classes are called. The model is run, once, where its number of outputs has to be known."""

    loaded: "LoadedModel"
    preprocess: Preprocess
    naming: Naming

    @cached_property
    def outputs(self) -> int:
        return outputs_of(self.loaded.float_model, self.preprocess)

    @cached_property
    def known(self) -> ClassNames | None:
        """What the classes are called; None where nobody says. LabelError where names do not fit the model."""
        own = self.loaded.classes
        if own is None and self.naming.given is None:
            return None
        if own is not None and self.naming.given is not None and len(own) != class_count(self.outputs):
            own = None  # of the head that it had before
        own = known_classes(None, own, self.outputs)
        return known_classes(own, self.naming.given, self.outputs)

    def expect_fit(self, *sources: ImageSource | None, named_by: ImageSource | None = None) -> None:
        """Raise LabelError unless the labels of some sources fit: before the work, not behind it.

        `named_by` is the source that a model without names is going to take its names from.
        """
        for source in sources:
            if source is not None and source.labels is not None:
                fit_labels(source, self.known or self._taken(named_by), self.outputs, self.naming.by)

    def _taken(self, source: ImageSource | None) -> ClassNames | None:
        return None if source is None else names_taken(source, self.outputs)


def names_taken_from(source: ImageSource, outputs: int) -> tuple[str, ...] | None:
    """The names that a model without any takes from a source, in its order; that they are, or cannot be, is said on stderr."""
    names = names_for(source, outputs)
    if names is not None:
        report(f"class names taken from {source.where} in its order: {some(names)}")
    elif source.classes is not None:
        report(
            f"warning: {source.where} has {len(source.classes)} classes ({some(source.classes)}) and the model {outputs} "
            "outputs; nobody knows which is which, so the artifact has no class names; give --classes FILE"
        )
    return names


def label_options(command: Function) -> Function:
    """Add the options to a command, which gets them as the one argument `naming`."""

    def run(*args: Any, classes: str | None, labels: By, **options: Any) -> Any:
        naming = Naming(None if classes is None else read_classes(classes), labels)
        return command(*args, naming=naming, **options)

    run.__doc__ = command.__doc__
    run.__name__ = command.__name__
    run.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    for option in reversed(OPTIONS):
        option(run)
    return run
