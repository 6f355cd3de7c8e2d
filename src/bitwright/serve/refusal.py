"""A request that is refused, and the JSON in which the protocol wants every answer and every error."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

JSON = "application/json"


class Refusal(Exception):
    """The request is answered with this status and `{"error": message}`."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        return json.dumps({"error": str(self)}).encode()

    def response(self) -> Response:
        return Response(self.body(), self.status, self.headers, JSON)


def json_response(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The body in ASCII, and without NaN, which is no JSON."""
    return Response(json.dumps(document, allow_nan=False), status, headers, JSON)
