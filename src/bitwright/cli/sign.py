"""`bitwright sign`: vouch for an artifact. Imports no torch."""

from datetime import date
from pathlib import Path

import click

from bitwright.artifact import from_bytes, read
from bitwright.cli.exit_codes import misuse
from bitwright.cli.needs import expect_not_read
from bitwright.cli.output import print_pairs
from bitwright.cli.signing_options import expires_option, password_in, password_option
from bitwright.errors import SignatureError
from bitwright.files import write_atomically
from bitwright.signatures import sign as signed
from bitwright.signatures import signature_path
from bitwright.signing_keys import fingerprint, private_key


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--key", required=True, type=click.Path(path_type=Path), help="A private key, as keygen makes it.")
@password_option
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The signature; else ARTIFACT.sig.")
@expires_option
def sign(artifact: Path, key: Path, password_file: Path | None, output: Path | None, expires: date | None) -> None:
    """Sign the bytes of ARTIFACT, in the format of the OpenSSF's model-signing, whose own command verifies it as well.

    A signature that is there already is replaced.
    """
    place = signature_path(artifact) if output is None else output
    expect_not_read(place)
    with misuse():
        own = private_key(key, password_in(password_file))
    data = read(artifact)
    opened = from_bytes(data, str(artifact))
    bundle = signed(data, artifact.name, own, expires)
    with misuse():
        write_atomically(place, bundle, SignatureError)
    print_pairs([("signature", place), ("sha256", opened.digest), ("key", fingerprint(own.public_key()))])
