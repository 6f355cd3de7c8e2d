"""`bitwright report`: one page that shows everything that can be measured of an artifact."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitwright.artifact import from_bytes, load, read
from bitwright.cli.check import expect_needs, print_verdict
from bitwright.cli.exit_codes import MisuseError
from bitwright.cli.float_model import logits_option, open_model
from bitwright.cli.inspect import THREADS
from bitwright.cli.label_options import Naming, label_options, limit_option
from bitwright.cli.needs import expect_modules, expect_outputs
from bitwright.cli.output import byte_count, json_option, print_json, print_pairs, shown, usage_error
from bitwright.cli.output import report as say
from bitwright.cli.preprocess_line import in_words, tell
from bitwright.cli.signing_options import checked, trust_option
from bitwright.files import write_atomically
from bitwright.gates.gates import Gates
from bitwright.images.sources import open_source

if TYPE_CHECKING:
    from bitwright.report.record import Report


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--model", required=True, help="The float model that ARTIFACT was made of.")
@click.option("--data", required=True, metavar="SRC", help="The images, with their labels if there are any.")
@click.option("--weights", type=click.Path(path_type=Path), help="A checkpoint for MODEL.")
@click.option("--audit", type=click.Path(path_type=Path), help="What `bitwright audit` found, as its JSON file.")
@click.option("--search", type=click.Path(path_type=Path), help="The NAME.front.json of a `bitwright search`.")
@click.option("--gates", type=click.Path(path_type=Path), help="Bounds to judge by, as `bitwright check` reads them.")
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    help="An artifact that the gate max_latency_ratio compares latency with.",
)
@trust_option
@click.option("--peer", "peers", multiple=True, metavar="NAME", help="Run onnxruntime or openvino beside, too.")
@limit_option
@click.option(
    "--samples", default=24, show_default=True, type=click.IntRange(0, 200), help="So many disagreeing images, at most."
)
@click.option("--threads", type=THREADS, help="For latency; else all that this process may use.")
@logits_option
@label_options
@json_option
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Where the page goes.")
def report(output: Path, gates: Path | None, baseline: Path | None, as_json: bool, **options: Any) -> int:
    """Write a page that shows what quantization made of MODEL: one HTML file that needs no network.

    It has the verdict against the gates, accuracy, bytes and latency beside the float model, the layers, the kernels that
    ran, the images on which the two differ, and where the artifact comes from; with --audit and --search what these found,
    too. The exit code is 1 where a gate fails.
    """
    if baseline is not None and gates is None:
        raise usage_error("--baseline is what the gate max_latency_ratio compares with; give it with --gates")
    expect_modules("torch", "jinja2")
    from bitwright.report.render import render

    bounds = None if gates is None else Gates.load(gates)
    if bounds is not None:
        expect_needs(bounds, images=True, baseline=baseline is not None, keys=bool(options["trust"]))
    expect_outputs(output)
    record = _measured(gates=bounds, baseline=baseline, **options)
    page = render(record).encode()
    write_atomically(output, page)
    if as_json:
        print_json({"page": str(output), "bytes": len(page), **record.to_json()})
    else:
        if record.verdict is not None:
            print_verdict(record.verdict)
            click.echo()
        print_pairs([("images", f"{record.images:,}"), ("written to", f"{output}, {byte_count(len(page))}")])
    return 0 if record.verdict is None or record.verdict.passed else 1


def _measured(
    artifact: Path,
    model: str,
    data: str,
    weights: Path | None,
    logits: tuple[str, ...] | None,
    audit: Path | None,
    search: Path | None,
    baseline: Path | None,
    trust: tuple[Path, ...],
    naming: Naming,
    **options: Any,
) -> "Report":
    """The record of the page; what has to be known of the figures is said on stderr."""
    from bitwright.audit.records import Audit
    from bitwright.report.build import build
    from bitwright.report.pareto_front import read_pareto_front
    from bitwright.report.peers import expect_peers

    expect_peers(options["peers"])
    content = read(artifact)
    opened = from_bytes(content, str(artifact))
    tell(opened)
    found = None if audit is None else Audit.read(audit)
    if found is not None and found.digest != opened.digest:
        raise MisuseError(
            f"{audit}: expected an audit of {artifact}, whose digest is {opened.digest}, found one of another artifact, "
            f"{found.digest}; audit this one, or leave out --audit"
        )
    with shown() as progress:
        record = build(
            opened,
            open_model(model, weights, logits).float_model,
            open_source(data),
            path=str(artifact),
            model_name=model,
            preprocess=in_words(opened.preprocess),
            baseline=None if baseline is None else (str(baseline), load(baseline)),
            audit=found,
            pareto_front=None if search is None else read_pareto_front(search),
            signature=checked(content, artifact, trust),
            classes=naming.given,
            labels=naming.by,
            command=f"bitwright {shlex.join(sys.argv[1:])}",
            progress=progress,
            **options,
        )
    for remark in record.remarks:
        say(f"warning: {remark}")
    for name, reason in record.left_out:
        say(f"warning: left out {name}: {reason}")
    return record
