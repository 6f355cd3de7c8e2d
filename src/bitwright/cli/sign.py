"""`bitwright sign`: vouch for an artifact. Imports no torch."""

from pathlib import Path

import click

from bitwright.artifact import from_bytes, read
from bitwright.cli.output import print_pairs
from bitwright.cli.signing_options import password_in, password_option
from bitwright.errors import SignatureError
from bitwright.files import write_atomically
from bitwright.signatures import fingerprint, private_key, signature_path
from bitwright.signatures import sign as signed


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--key", required=True, type=click.Path(path_type=Path), help="A private key, as keygen makes it.")
@password_option
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The signature; else ARTIFACT.sig.")
def sign(artifact: Path, key: Path, password_file: Path | None, output: Path | None) -> None:
    """Sign the bytes of ARTIFACT, in the format of the OpenSSF's model-signing, whose own command verifies it as well.

    A signature that is there already is replaced.
    """
    own = private_key(key, password_in(password_file))
    data = read(artifact)
    opened = from_bytes(data, str(artifact))
    bundle = signed(data, artifact.name, own)
    place = signature_path(artifact) if output is None else output
    write_atomically(place, bundle, SignatureError)
    print_pairs([("signature", place), ("sha256", opened.digest), ("key", fingerprint(own.public_key()))])
