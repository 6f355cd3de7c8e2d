"""`bitwright export`: an artifact as a model that other runtimes read. Imports no torch."""

from pathlib import Path
from typing import Any

import click

from bitwright.artifact import load
from bitwright.cli.needs import expect_modules, expect_outputs
from bitwright.cli.output import byte_count, print_pairs, usage_error
from bitwright.files import write_atomically

SUFFIX = ".onnx"
TWO_BITS = ("int2", "ternary")


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Where the model goes, a .onnx file."
)
@click.option(
    "--takes",
    type=click.Choice(("pixels", "float")),
    default="pixels",
    show_default=True,
    help="Its input: pixels, uint8 N x H x W x C; or normalised float32 N x C x H x W, as the float model has it.",
)
@click.option(
    "--form",
    type=click.Choice(("qdq", "exact")),
    default="qdq",
    show_default=True,
    help="qdq, which other tools read; or exact: integer ops that give the artifact's own integers.",
)
@click.option(
    "--int2",
    is_flag=True,
    help="Store weights of 2 bits as INT2 in place of INT4: smaller, and refused by ONNX Runtime 1.32.",
)
@click.option(
    "--twin",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write here, too, the artifact with its biases rounded as ONNX holds them: the two then give nearly the same codes.",
)
def export(artifact: Path, output: Path, takes: Any, form: Any, int2: bool, twin: Path | None) -> None:
    """Write an artifact as ONNX, with its own scales, zero points, weight codes and class names.

    Another runtime rounds in its own way: bitwright compare ARTIFACT OUTPUT --data SRC tells how far its answers are.
    """
    if output.suffix.lower() != SUFFIX:
        raise usage_error(f"expected an output that ends in {SUFFIX}, found {output}")
    expect_outputs(output, *([] if twin is None else [twin]))
    expect_modules("onnx")
    from bitwright.export import to_onnx, with_int32_biases

    model = load(artifact)
    if twin is not None:
        model = with_int32_biases(model)
        model.save(twin)
    data = to_onnx(model, takes, form, int2).SerializeToString()
    write_atomically(output, data)
    two = any(node.attrs.get("weights") in TWO_BITS for node in model.graph.nodes)
    print_pairs(
        [
            ("written to", output),
            ("size", byte_count(len(data))),
            ("takes", takes),
            ("form", form),
            ("weights of 2 bits", stored(form, int2) if two else None),
            ("twin", twin),
        ]
    )


def stored(form: str, int2: bool) -> str:
    """How a file has weights of 2 bits."""
    if form == "exact":
        return "as int8, which integer ops take"
    return "as INT2, of opset 25" if int2 else "as INT4, which more runtimes read than INT2; --int2 halves them"
