"""The SHA-256 of an artifact's contents, in its provenance: a damaged file is told from a sound one.

    file     ..."provenance":{...,"sha256":"2f3c...91"}}"...        the last entry of the document
    digest   of all bytes of the file, with 64 zeros in its own place

It tells accidents. Who exchanges a file can exchange its digest as well: that is what signatures are for. Files of versions
that wrote none are read as before.
"""

import re
from collections.abc import Mapping
from typing import Any

from bitwright.errors import ArtifactError

KEY = "sha256"
BLANK = "0" * 64
_BEFORE, _BEHIND = rb"\"sha256\":\"", rb'\"}}"'  # as JSON within JSON spells it
_DIGEST = re.compile(re.escape(_BEFORE) + rb'([^"]{64})' + re.escape(_BEHIND))


def sealed(data: bytes) -> bytes:
    """The bytes of a file, whose provenance ends in a blank digest, with the digest in its place."""
    import hashlib  # 2 ms, which plain imports need not wait for

    end = 8 + int.from_bytes(data[:8], "little")
    place = data.rindex(_BEFORE + BLANK.encode() + _BEHIND, 8, end) + len(_BEFORE)
    digest = hashlib.sha256(data).hexdigest().encode()
    return b"".join((memoryview(data)[:place], digest, memoryview(data)[place + len(digest) :]))


def checked_digest(data: bytes) -> str | None:
    """The digest at the end of a file's document; None where there is none. ArtifactError where it is not of the contents."""
    import hashlib

    places = list(_DIGEST.finditer(data, 8, 8 + int.from_bytes(data[:8], "little")))
    if not places:
        return None
    begin, end = places[-1].span(1)
    found = hashlib.sha256(memoryview(data)[:begin])
    found.update(BLANK.encode())
    found.update(memoryview(data)[end:])
    said = places[-1][1].decode(errors="replace")
    if found.hexdigest() != said:
        raise ArtifactError(
            f"the file has changed since it was written: its contents have the SHA-256 {found.hexdigest()[:16]}..., "
            f"expected {said[:16]}...; fetch it again from where it came from"
        )
    return said


def without_digest(provenance: Mapping[str, Any], data: bytes) -> dict[str, Any]:
    """The provenance that a file was made with. ArtifactError where it says another digest than that of the contents."""
    said, kept = provenance.get(KEY), {key: value for key, value in provenance.items() if key != KEY}
    if said is not None and said != checked_digest(data):
        raise ArtifactError(f"expected a SHA-256 at the end of the provenance, found {said!r:.100}")
    return kept
