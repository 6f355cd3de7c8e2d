"""`bitwright keygen`: a pair of keys to sign artifacts with."""

from datetime import date
from pathlib import Path

import click

from bitwright.cli.exit_codes import misuse
from bitwright.cli.output import print_pairs
from bitwright.cli.signing_options import expires_option, password_in, password_option
from bitwright.signing_keys import PUBLIC_SUFFIX, generate


@click.command()
@click.argument("key", type=click.Path(path_type=Path))
@password_option
@expires_option
def keygen(key: Path, password_file: Path | None, expires: date | None) -> None:
    """Write a new private key to KEY, and its public half to KEY.pub.

    Keep KEY to yourself, and give KEY.pub to those who shall trust you. The key is of the curve P-256, in PEM; with
    --password-file it is encrypted. --expires writes a line into KEY.pub, which whoever trusts it may change.
    """
    with misuse():
        name = generate(key, password_in(password_file), expires)
    print_pairs(
        [("private key", f"{key}, for you alone"), ("public key", f"{key}{PUBLIC_SUFFIX}"), ("fingerprint", name)]
    )
