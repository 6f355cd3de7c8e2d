"""Requests that are wrong in every way never give a fault or a hang, and what the OpenAPI document says is true."""

from dataclasses import replace

import pytest

from bench.malformed import attack
from tests.serve.conftest import QUICK, picture


def test_malformed_requests_are_refused(started, models):
    server = started(replace(QUICK, body_seconds=0.1), {"m": models["colours"]})
    found = attack(server.port, (4, 4, 3), 400)
    assert {"400", "404", "405"} <= set(found)
    assert server.ask("POST", "/classify", picture("red")).json["images"][0]["top"][0]["name"] == "red"


@pytest.mark.filterwarnings("ignore")  # of the libraries that make the requests
def test_the_openapi_document_is_kept(running):
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis import checks

    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{running.port}/openapi.json")
    kept = [
        checks.not_a_server_error,
        schemathesis.specs.openapi.checks.status_code_conformance,
        schemathesis.specs.openapi.checks.content_type_conformance,
        schemathesis.specs.openapi.checks.response_schema_conformance,
    ]
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) == 14
    few = settings(
        max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
    )
    for operation in operations:

        @few
        @given(case=operation.as_strategy())
        def holds(case):
            case.validate_response(case.call(), checks=kept)

        holds()
