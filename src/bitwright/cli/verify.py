"""`bitwright verify`: whether somebody who is trusted vouches for an artifact. Imports no torch."""

from pathlib import Path

import click

from bitwright.artifact import from_bytes, read
from bitwright.cli.exit_codes import MisuseError, misuse
from bitwright.cli.output import json_option, print_json, print_pairs, usage_error
from bitwright.cli.signing_options import trust_option
from bitwright.signatures import Trust, signature_path


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@trust_option
@click.option("--signature", type=click.Path(path_type=Path), help="The signature; else ARTIFACT.sig.")
@json_option
def verify(artifact: Path, trust: tuple[Path, ...], signature: Path | None, as_json: bool) -> None:
    """Check that a key of --trust has signed the bytes of ARTIFACT, and that they are an artifact.

    The exit code is 1 where that is not so. Signatures that model_signing has made by a key are verified as well.
    """
    if not trust:
        raise usage_error("verify needs --trust: a file of the public keys that you trust")
    with misuse():
        keys = Trust.load(*trust)
    if signature is not None and not signature.exists():
        raise MisuseError(f"cannot read the signature {signature}: there is no such file")
    data = read(artifact)
    found = keys.verify_file(data, artifact, signature)
    from_bytes(data, str(artifact))
    if as_json:
        print_json({"artifact": str(artifact), **found.to_json()})
        return
    place = signature_path(artifact) if signature is None else signature
    print_pairs(
        [
            ("artifact", artifact),
            ("sha256", found.sha256),
            ("signature", f"{place}, verified"),
            ("key", found.key),
            ("expires", found.expires or "never"),
        ]
    )
