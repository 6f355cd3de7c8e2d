"""`bitwright serve`: artifacts over HTTP, and a page to try them in. Imports no torch."""

from pathlib import Path

import click

from bitwright.cli.exit_codes import misuse
from bitwright.cli.finite import Finite
from bitwright.cli.inspect import THREADS
from bitwright.cli.needs import expect_modules
from bitwright.cli.output import usage_error
from bitwright.cli.signing_options import trust_option
from bitwright.signatures import Trust

NEEDS = ("fastapi", "httptools", "prometheus_client", "python_multipart", "uvicorn", "uvloop")
_POSITIVE = Finite(0, min_open=True)


@click.command()
@click.argument("artifacts", metavar="ARTIFACT...", nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; 0.0.0.0 for every network.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0: any that is free.")
@click.option("--threads", type=THREADS, help="Of each engine, and that decode; else all that this process may use.")
@click.option(
    "--batch", default=64, show_default=True, type=click.IntRange(1, 2**16), help="Images of a batch, at most."
)
@click.option("--queue", default=512, show_default=True, type=click.IntRange(1), help="Images that may wait.")
@click.option("--patience", default=2.0, show_default=True, type=_POSITIVE, help="Seconds that a request may wait.")
@click.option("--max-body", default=16, show_default=True, type=click.IntRange(1, 2**20), help="MiB of a request.")
@click.option("--body-seconds", default=20.0, show_default=True, type=_POSITIVE, help="For a body to arrive in.")
@click.option("--drain-seconds", default=1.0, show_default=True, type=Finite(0), help="After SIGTERM.")
@click.option("--reload-seconds", default=2.0, show_default=True, type=Finite(0), help="0: never reload.")
@click.option(
    "--token-file", type=click.Path(path_type=Path), help="Holds the token to ask for; else $BITWRIGHT_TOKEN."
)
@click.option(
    "--check-weights",
    metavar="N",
    type=click.IntRange(1, 2**31 - 1),
    help="Compare all packed weights with their checksums in N calls: bits that flip end the model's answers.",
)
@click.option("--require-signature", is_flag=True, help="Serve only what a key of --trust has signed.")
@trust_option
@click.option("--log-level", default="info", show_default=True, type=click.Choice(("info", "warning", "error")))
def serve(
    artifacts: tuple[str, ...],
    host: str,
    port: int,
    threads: int | None,
    batch: int,
    queue: int,
    patience: float,
    max_body: int,
    body_seconds: float,
    drain_seconds: float,
    reload_seconds: float,
    token_file: Path | None,
    check_weights: int | None,
    require_signature: bool,
    trust: tuple[Path, ...],
    log_level: str,
) -> None:
    """Serve each ARTIFACT, or NAME=ARTIFACT, over HTTP until SIGTERM: /v2 is the Open Inference Protocol, /classify takes image
    files, /metrics is for Prometheus, and / is a page to try them in.

    A changed file is taken once it has loaded and run, and with --require-signature only if it is signed. See
    docs/serving.md.
    """
    if require_signature != bool(trust):
        raise usage_error("--require-signature and --trust, a file of the keys that are trusted, go together")
    expect_modules(*NEEDS)
    from bitwright.serve import Settings  # FastAPI takes a while to import
    from bitwright.serve import serve as run
    from bitwright.serve.logs import configure
    from bitwright.serve.settings import named, token_of

    with misuse():
        trusted = Trust.load(*trust) if trust else None
    settings = Settings(
        threads=threads,
        batch=batch,
        queue=queue,
        patience_seconds=patience,
        max_body=max_body * 2**20,
        max_held=max(Settings.max_held, 4 * max_body * 2**20),
        body_seconds=body_seconds,
        drain_seconds=drain_seconds,
        reload_seconds=reload_seconds,
        token=token_of(token_file),
        check_weights=check_weights,
        trust=trusted,
    )
    configure(log_level)
    run(named(artifacts), settings, host, port)
