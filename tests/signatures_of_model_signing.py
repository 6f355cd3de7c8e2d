"""Signatures that the OpenSSF's model_signing 1.1.1 has made, and the key, for `test_signatures.py`."""

import base64
import json
from typing import Any

CONTENT = b"an artifact, as far as a signature is concerned\n"
KEY = b"""\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEkByoWhyJgyV96hbR1Msthzod2jFw
YyG4Gcqv2iSikpZmECZWIOF78xxyLxkWo8kjttjK3DGKaZ1VY8KR151jPg==
-----END PUBLIC KEY-----
"""


def _bundle(statement: str, signed: str) -> bytes:
    material = {
        "publicKey": {"hint": "a3c875bddec7bf4306ba61b5492af8624e5e616b84407565f961dfaec3a36d99"},
        "tlogEntries": [],
    }
    envelope: dict[str, Any] = {
        "payload": base64.b64encode(statement.encode()).decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"sig": signed, "keyid": ""}],
    }
    kind = "application/vnd.dev.sigstore.bundle.v0.3+json"
    return json.dumps({"mediaType": kind, "verificationMaterial": material, "dsseEnvelope": envelope}).encode()


OF_THE_FILE = _bundle(
    """\
{
  "_type": "https://in-toto.io/Statement/v1",
  "subject": [
    {
      "name": "data.bin",
      "digest": {
        "sha256": "829c5c30cc09b3aecda5378769cb3a069d80934375d25ba361a253e01454617b"
      }
    }
  ],
  "predicateType": "https://model_signing/signature/v1.0",
  "predicate": {
    "resources": [
      {
        "digest": "cdffe110f1ab911709f80fdd47431fe640605bd96980f09fef257f3de271d762",
        "algorithm": "sha256",
        "name": "."
      }
    ],
    "serialization": {
      "method": "files",
      "ignore_paths": [
        ".github",
        ".git",
        ".gitignore",
        ".gitattributes"
      ],
      "allow_symlinks": false,
      "hash_type": "sha256"
    }
  }
}""",
    "MEYCIQCEkKi2FUuiTYBhM4kOW5ej4mju67KyUcd/YG16DcNn4wIhAMKD3chTBufm/SsD2LgeyRaFFuB25/qd2cgaoGt8oUvc",
)
OF_ITS_FOLDER = _bundle(
    """\
{
  "_type": "https://in-toto.io/Statement/v1",
  "subject": [
    {
      "name": "fold",
      "digest": {
        "sha256": "829c5c30cc09b3aecda5378769cb3a069d80934375d25ba361a253e01454617b"
      }
    }
  ],
  "predicateType": "https://model_signing/signature/v1.0",
  "predicate": {
    "serialization": {
      "hash_type": "sha256",
      "allow_symlinks": false,
      "ignore_paths": [
        ".gitattributes",
        ".gitignore",
        ".git",
        ".github"
      ],
      "method": "files"
    },
    "resources": [
      {
        "name": "data.bin",
        "algorithm": "sha256",
        "digest": "cdffe110f1ab911709f80fdd47431fe640605bd96980f09fef257f3de271d762"
      }
    ]
  }
}""",
    "MEUCIASHz2b9kQU2wRx7EB4KZ+grUiIzduPMbgEUkvZrTG52AiEAwAl60jQorTf8EeKC0WZ8lYsiCby+Lk4qlrtslhxPh7o=",
)
