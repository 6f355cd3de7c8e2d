"""`bitwright check`: whether a model keeps its gates. The exit code is 1 where it does not, so that a build stops."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bitwright.artifact import Artifact, from_bytes, load, read
from bitwright.cli.float_model import logits_option, open_model
from bitwright.cli.inspect import THREADS
from bitwright.cli.label_options import Naming, label_options, limit_option
from bitwright.cli.needs import expect_modules, expect_outputs
from bitwright.cli.output import (
    json_option,
    print_json,
    print_pairs,
    print_table,
    report,
    report_remarks,
    shown,
    usage_error,
)
from bitwright.cli.preprocess_line import tell
from bitwright.cli.signing_options import checked, trust_option
from bitwright.files import write_atomically
from bitwright.gates.gates import Gates
from bitwright.images.sources import open_source

if TYPE_CHECKING:
    from bitwright.errors import SignatureError
    from bitwright.gates.outcomes import Outcomes
    from bitwright.gates.verdict import Finding, Verdict
    from bitwright.signatures import Signature

GATES = Path("gates.toml")
SUMMARY = "GITHUB_STEP_SUMMARY"


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option(
    "--gates", default=GATES, show_default=True, type=click.Path(path_type=Path), help="The bounds, as a TOML file."
)
@click.option("--model", help="The float model that ARTIFACT was made of, to compare with.")
@click.option("--weights", type=click.Path(path_type=Path), help="A checkpoint for MODEL.")
@click.option("--data", metavar="SRC", help="The images, with their labels if there are any.")
@limit_option
@click.option("--baseline", type=click.Path(path_type=Path), help="An artifact whose latency is measured beside.")
@trust_option
@click.option("--threads", type=THREADS, help="Of the engine, for latency; else all that this process may use.")
@click.option("--junit", metavar="FILE", type=click.Path(path_type=Path), help="Write the verdict as JUnit XML, too.")
@click.option("--github", is_flag=True, help="Print annotations for GitHub Actions, and add to the run's summary.")
@logits_option
@label_options
@json_option
def check(
    artifact: Path,
    gates: Path,
    model: str | None,
    logits: tuple[str, ...] | None,
    weights: Path | None,
    data: str | None,
    limit: int | None,
    baseline: Path | None,
    trust: tuple[Path, ...],
    threads: int | None,
    junit: Path | None,
    github: bool,
    naming: Naming,
    as_json: bool,
) -> int:
    """Judge ARTIFACT by the gates of a file: accuracy, agreement, bytes, latency, signature.

    The exit code is 1 where a gate fails. Figures that are measured are judged by their 95 % interval, unless the file says
    judge = "point": a gate holds where the images are enough to show it. Gates on accuracy need --model and --data, a gate on
    latency --baseline, and one on a signature --trust.
    """
    wanted = Gates.load(gates)
    expect_needs(wanted, images=model is not None and data is not None, baseline=baseline is not None, keys=bool(trust))
    if junit is not None:
        expect_outputs(junit)
    content = read(artifact)
    signature = checked(content, artifact, trust)
    judged = from_bytes(content, str(artifact))
    outcomes = None
    if "images" in wanted.needs and model is not None and data is not None:
        tell(judged)
        outcomes = compare(judged, model, weights, logits, data, naming, limit)
    verdict = _judged(wanted, judged, artifact, outcomes, baseline, threads, signature)
    _write(verdict, junit, github)
    if as_json:
        print_json(verdict.to_json())
    else:
        print_verdict(verdict)
    return 0 if verdict.passed else 1


def expect_needs(wanted: Gates, *, images: bool, baseline: bool, keys: bool) -> None:
    """Raise a usage error where what a gate needs was not given."""
    given = {
        "images": (images, "--model and --data"),
        "baseline": (baseline, "--baseline"),
        "keys": (keys, "--trust"),
    }
    for gate in wanted.gates:
        there, options = given.get(gate.kind.needs or "", (True, ""))
        if not there:
            raise usage_error(f"{gate.name} of {wanted.where} needs {options}")
    if baseline and "baseline" not in wanted.needs:
        report(f"note: --baseline is not run: {wanted.where} has no max_latency_ratio, the gate that compares with it")


def compare(
    artifact: Artifact,
    model: str,
    weights: Path | None,
    logits: tuple[str, ...] | None,
    data: str,
    naming: Naming,
    limit: int | None,
) -> "Outcomes":
    """What an artifact and its float model make of the images; what has to be known of them is said on stderr."""
    expect_modules("torch")
    from bitwright.gates.outcomes import outcomes_of

    source = open_source(data)
    reference = open_model(model, weights, logits).float_model
    with shown() as progress:
        found = outcomes_of(
            artifact, reference, source, classes=naming.given, labels=naming.by, limit=limit, progress=progress
        )
    if found.labels is None:
        report("note: there are no labels, so the float model's classes stand in for them")
    report_remarks(found.bad, found.remark, found.doubt)
    return found


def print_verdict(verdict: "Verdict") -> None:
    """Print a table of the gates, and the sum of it."""
    print_table(("gate", "verdict", "asked>", "found>", "95 % interval>", "judged by"), map(_row, verdict.findings))
    click.echo()
    if verdict.failed:
        print_pairs([(f"{finding.gate.name} failed", finding.reason) for finding in verdict.failed])
        click.echo()
    passed = len(verdict.findings) - len(verdict.failed)
    print_pairs(
        [
            ("artifact", verdict.artifact),
            ("sha256", verdict.sha256),
            ("verdict", f"{'passed' if verdict.passed else 'FAILED'}: {passed} of {len(verdict.findings)} gates kept"),
        ]
    )


def _judged(
    wanted: Gates,
    judged: Artifact,
    path: Path,
    outcomes: "Outcomes | None",
    baseline: Path | None,
    threads: int | None,
    signature: "Signature | SignatureError | None",
) -> "Verdict":
    from bitwright.budget.race import race
    from bitwright.gates.judge import judge

    latency = None
    if "baseline" in wanted.needs and baseline is not None:
        latency = race([load(baseline), judged], threads)[1]
    return judge(
        wanted,
        judged,
        path=str(path),
        outcomes=outcomes,
        latency=latency,
        baseline=str(baseline),
        signature=signature,
    )


def _write(verdict: "Verdict", junit_file: Path | None, github: bool) -> None:
    from bitwright.gates.formats import annotations, junit, markdown

    if junit_file is not None:
        write_atomically(junit_file, junit(verdict))
    if github:
        for line in annotations(verdict):
            click.echo(line, err=True)
        if SUMMARY in os.environ:
            with open(os.environ[SUMMARY], "a", encoding="utf-8") as summary:
                summary.write(markdown(verdict))


def _row(finding: "Finding") -> tuple[object, ...]:
    gate, unit = finding.gate, finding.gate.kind.unit
    if gate.name == "require_signature":
        return gate.name, _word(finding), "signed", "signed" if finding.passed else "not signed", "", "value"
    digits = 0 if unit == "bytes" else 2
    found = "not measured" if finding.value is None else f"{finding.value:,.{digits}f} {unit}"
    interval = "" if finding.interval is None else " to ".join(f"{end:.2f}" for end in finding.interval)
    bound = f"{'>=' if gate.name.startswith('min') else '<='} {gate.bound:,.{digits}f} {unit}"
    return gate.name, _word(finding), bound, found, interval, "value" if gate.kind.is_exact else gate.judge


def _word(finding: "Finding") -> str:
    return "passed" if finding.passed else "FAILED"
