"""`--ray [ADDRESS]`, and what goes with it where images are classified."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from bitwright.cli.output import usage_error
from bitwright.scale.cluster import HERE

if TYPE_CHECKING:
    from bitwright.images.sources import ImageSource


def ray_option(text: str) -> Callable[[Any], Any]:
    """The option `--ray`, whose address may be left out."""
    return click.option("--ray", metavar="[ADDRESS]", is_flag=False, flag_value=HERE, help=text)


def answers_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a job whose answers go to a folder; they become `ray` and `answers`."""
    options = (
        ray_option("Share the images among workers of the Ray cluster at ADDRESS, or of one started here; needs -o."),
        click.option(
            "-o", "--output", "answers", metavar="DIR", help="With --ray: where Parquet files with the answers go."
        ),
        click.option(
            "--part",
            default=1000,
            show_default=True,
            metavar="N",
            type=click.IntRange(1),
            help="With --ray: images of a file.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def opened(images: str, ray: str | None, answers: str | None) -> "ImageSource | None":
    """The images of a job for Ray, at a path or URI; None where it is no such job."""
    context = click.get_current_context()
    if ray is None and answers is None:
        if context.get_parameter_source("part") is ParameterSource.COMMANDLINE:
            raise usage_error("--part belongs to --ray: how many images a file of answers has")
        return None
    if ray is None or answers is None:
        raise usage_error("--ray and -o go together: what Ray's workers answer is written to a folder")
    from bitwright.scale.remote import is_remote, open_anywhere

    if not is_remote(answers) and Path(answers).is_file():
        raise usage_error(f"-o {answers} is a file; expected a folder")
    return open_anywhere(images)
