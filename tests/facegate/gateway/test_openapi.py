"""REST is what its own description says it is: wild requests, answers held against it, and no fault of the server's.

The same against a gateway that runs, and for longer: `schemathesis run http://127.0.0.1:8080/openapi.json -n 1000`.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from facegate.gateway.errors import Code
from facegate.gateway.rest.examples import ASKED
from facegate.gateway.rest.header_value import FORM
from facegate.gateway.rest.openapi import OPERATIONS, document
from facegate_client import __version__
from support.rest import blank, in_base64, liveness_keys, rest

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    allow_header_conformance,
    unsupported_method,
]


bad = ["", "AAAA", "not base64", in_base64(blank())]
faces: list[str] = []
schemathesis.openapi.format(
    "byte", st.integers(0, 11).map(lambda number: bad[number] if number < len(bad) else faces[number % len(faces)])
)
schema = schemathesis.openapi.from_dict({**document(), "security": []})  # keys are the front door's, which is not here


@pytest.fixture(scope="module")
def ask(server, samples) -> Iterator[httpx.Client]:
    faces.extend(in_base64(samples[name]) for name in ("image_T1.jpg", "image_F2.jpg"))
    with rest(server.grpc) as client:
        yield client


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_wild_requests_are_answered_as_described(case, ask):
    strict = [] if case.media_type == FORM else [negative_data_rejection]  # in a form a list is text like any other
    case.call_and_validate(base_url=str(ask.base_url), checks=CHECKS + strict)


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.name in ASKED], ids=lambda each: each.name)
def test_the_examples_are_answered_as_described_with_a_real_picture(ask, operation):
    asked = dict(ASKED[operation.name])
    for name in {"img", "img1", "img2", "image"} & set(asked):
        asked[name] = faces[0]
    if operation.name == "forget":
        asked["id"] = ask.post("/v1/face/register", json={"img": faces[0], "name": "Ada"}).json()["id"]
    answer = ask.post(operation.path, json=asked)
    assert answer.status_code == (204 if operation.answer is None else 200)
    schema[operation.path]["POST"].validate_response(answer)
    liveness = {"verify": 4, "analyze": 2, "register": 2, "identify": 2}.get(operation.name, 0)
    assert len(liveness_keys(answer.json() if answer.content else {})) == liveness


def test_the_description_is_an_openapi_document(ask):
    described = ask.get("/openapi.json").json()
    assert described == document()
    assert described["openapi"].startswith("3.0.")  # the bundled Swagger UI shows no other


def test_every_failure_that_a_call_can_have_is_described():
    paths = document()["paths"]
    everywhere = {"400", "401", "403", "413", "429", "500", "503", "504"}
    for operation in OPERATIONS:
        described = set(paths[operation.path][operation.method.lower()]["responses"])
        assert everywhere <= described
    assert {str(code.http) for code in Code} - {"405"} == {
        status
        for each in paths.values()
        for operation in each.values()
        for status in operation["responses"]
        if status >= "400"
    }
    assert {operation.path for operation in OPERATIONS if Code.FAILED_PRECONDITION in operation.codes} == {
        path for path, each in paths.items() if "anti_spoofing" in str(each.get("post", {}).get("requestBody"))
    }


def test_the_document_has_the_version() -> None:
    assert document()["info"]["version"] == __version__
