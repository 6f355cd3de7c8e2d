"""`bitwright zoo`: the quantized models that there are by name, and how one becomes a file."""

from contextlib import chdir
from pathlib import Path

import click

from bitwright.artifact import from_bytes, read
from bitwright.cli.output import byte_count, print_pairs, print_table, usage_error
from bitwright.files import write_atomically
from bitwright.hub import MODELS, quantized_model


@click.group()
def zoo() -> None:
    """List quantized models that there are by name, and write one to a file."""


@zoo.command("list")
def list_() -> None:
    """Show every model: its network, its bits, and whether it was trained, or is made from images and weights."""
    rows = [
        (model.name, model.network, model.bits, "bitwright[models]" if model.is_trained else "made from --data")
        for model in MODELS.values()
    ]
    print_table(("name", "network", "bits", "from"), rows)


@zoo.command()
@click.argument("name")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder with models/ and the images of docs/accuracy.md; not needed for a trained model.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Where the artifact goes.")
def make(name: str, data: Path | None, output: Path) -> None:
    """Write the model NAME to a file: a copy, or the result of `bitwright quantize`, measured on its test images."""
    model = quantized_model(name)
    if model.is_trained:
        content = read(model.file)
        artifact = from_bytes(content, str(model.file))
        write_atomically(output, content)
        measured = artifact.provenance.get("measured", {})
        pairs = [("file", f"{output}, {byte_count(len(content))}"), ("network", model.network), ("bits", model.bits)]
        print_pairs([*pairs, *((key, str(value)) for key, value in measured.items())])
        return
    if data is None:
        raise usage_error(f"{name} is made from images and weights: --data DIR is needed")
    from bitwright.cli.quantize import quantize

    target = output.resolve()
    with chdir(data):
        told = [*model.arguments, "-o", str(target)]
        if code := quantize.main(told, prog_name="bitwright quantize", standalone_mode=False):
            raise click.exceptions.Exit(code)
