"""Every row of the error table over REST: the status, the stable code, the field. And nothing else is ever answered."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from facegate.cli.running import free_ports
from facegate.gateway.rest.json_body import MOST_COMMAS
from facegate.gateway.rest.openapi import OPERATIONS
from facegate_client.contract import MAX_IMAGE_BYTES, STOPPING_REASON
from facegate_client.errors import Overloaded, ServerFault
from facegate_client.transport.base import Answer, Call
from support.rest import blank, in_base64, liveness_keys, refused, rest

LIVE = "image_T1.jpg"
INVALID = "INVALID_ARGUMENT"
JSON = {"content-type": "application/json"}
ASKED_WITH_LIVENESS = {
    "verify": {"img1": "", "img2": ""},
    "analyze": {"img": ""},
    "register": {"img": "", "name": "Ada"},
    "identify": {"img": ""},
}


class Failing:
    """An AsyncTransport whose every call ends so."""

    regions = None

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def infer(self, call: Call, timeout_s: float) -> Answer:
        raise self.error

    async def is_model_ready(self, model: str, timeout_s: float) -> bool:
        raise self.error

    async def close(self) -> None:
        pass


class Hanging(Failing):
    """One that never answers, and knows whether anybody still waits."""

    def __init__(self) -> None:
        self.cancelled = 0

    async def infer(self, call: Call, timeout_s: float) -> Answer:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        raise AssertionError("nobody waits so long")


@pytest.fixture(scope="module")
def ask(server) -> Iterator[httpx.Client]:
    with rest(server.grpc) as client:
        yield client


@pytest.fixture(scope="module")
def live(samples) -> str:
    return in_base64(samples[LIVE])


def verify(ask: httpx.Client, img1: Any, img2: Any, **others: Any) -> httpx.Response:
    return ask.post("/v1/face/verify", json={"img1": img1, "img2": img2, **others})


@pytest.mark.parametrize(
    "picture",
    [
        "",
        "!",
        "AAA",
        "AAAA====",
        "é",
        "data:image/png,AAAA",
        "data:,",
        in_base64(b"GIF89a"),
        in_base64(b"\xff\xd8\xff\xe0"),
    ],
)
def test_what_is_no_picture_is_refused_by_its_field(ask, live, picture):
    refused(verify(ask, live, picture), 400, "INVALID_ARGUMENT", "img2")
    refused(verify(ask, picture, live), 400, "INVALID_ARGUMENT", "img1")
    refused(ask.post("/v1/face/embed", json={"img": picture}), 400, "INVALID_ARGUMENT", "img")
    refused(ask.post("/v1/face/analyze", json={"img": picture}), 400, "INVALID_ARGUMENT", "img")
    refused(ask.post("/v1/detection", json={"image": picture}), 400, "INVALID_ARGUMENT", "image")
    refused(ask.post("/v1/face/register", json={"img": picture, "name": "Ada"}), 400, "INVALID_ARGUMENT", "img")


@pytest.mark.parametrize("picture", [None, 1, True, [], {}, ["AAAA"]])
def test_a_picture_of_another_type_is_refused(ask, live, picture):
    refused(verify(ask, live, picture), 400, "INVALID_ARGUMENT", "img2")


def test_pictures_over_the_limit_are_refused_in_either_form(ask):
    large = bytes(MAX_IMAGE_BYTES + 1)
    answers = (
        ask.post("/v1/face/embed", json={"img": in_base64(large)}),
        ask.post("/v1/face/embed", files={"img": large}),
    )
    for answer in answers:
        assert "10 MiB" in refused(answer, 400, "INVALID_ARGUMENT", "img")["message"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("threshold", value) for value in (0, -1, 2.1, "0.4", True, [], float("inf"), 1e999, 10**400)]
    + [("anti_spoofing", value) for value in ("true", 1, 0, None, [], "yes")],
)
def test_values_of_another_type_or_out_of_range_are_refused(ask, live, field, value):
    body = json.dumps({"img1": live, "img2": live, field: value})
    answer = ask.post("/v1/face/verify", content=body, headers=JSON)
    refused(answer, 400, "INVALID_ARGUMENT", *([] if "Infinity" in body else [field]))


def test_a_null_leaves_a_field_out(ask, live):
    assert verify(ask, live, live, threshold=None, model=None).json()["threshold"] > 0


@pytest.mark.parametrize("field", ["anti_spofing", "antiSpoofing", "Anti_Spoofing", "", "\u00e9", "a" * 5000])
def test_a_field_that_is_not_known_is_refused_by_its_name(ask, live, field):
    body = json.dumps({"img1": live, "img2": live, field: True})
    error = ask.post("/v1/face/verify", content=body, headers=JSON)
    (named,) = error.json()["error"]["fields"]
    refused(error, 400, "INVALID_ARGUMENT", named["field"])
    assert named["description"] == "there is no such field"
    assert len(named["field"]) <= 60


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("register", {"name": ""}, "name"),
        ("register", {"name": "A" * 201}, "name"),
        ("register", {}, "name"),
        ("register", {"name": "Ada", "labels": {"a": 1}}, "labels"),
        ("register", {"name": "Ada", "labels": {"": "a"}}, "labels"),
        ("register", {"name": "Ada", "id": "somebody"}, "id"),
        ("register", {"name": "\ud800"}, "name"),
        ("register", {"name": "Ada\u200b"}, "name"),
        ("register", {"name": "Ada", "store": "another"}, "store"),
        ("identify", {"top_k": 0}, "top_k"),
        ("identify", {"top_k": 1.5}, "top_k"),
        ("identify", {"top_k": 101}, "top_k"),
        ("identify", {"threshold": 3}, "threshold"),
        ("identify", {"threshold": 1e-320}, "threshold"),
        ("identify", {"threshold": 1e-46}, "threshold"),
        ("identify", {"margin": -1}, "margin"),
        ("identify", {"store": "another"}, "store"),
        ("analyze", {"actions": "age"}, "actions"),
    ],
)
def test_other_fields_are_checked_too(ask, live, path, body, field):
    answer = ask.post(f"/v1/face/{path}", content=json.dumps({"img": live, **body}), headers=JSON)
    refused(answer, 400, "INVALID_ARGUMENT", field)


def test_what_is_wrong_with_a_field_is_said_in_this_servers_words(ask, live):
    asked = {"model": 1, "img1": live, "threshold": "0.4", "anti_spoofing": 1}
    error = refused(
        ask.post("/v1/face/verify", json=asked), 400, "INVALID_ARGUMENT", "model", "img2", "threshold", "anti_spoofing"
    )
    assert error["message"] == (
        "model: expected text; img2: is missing; threshold: expected a number; anti_spoofing: expected true or false"
    )
    asked = {"img": live, "labels": {"a": 1}, "name": "Ada"}
    error = refused(ask.post("/v1/face/register", json=asked), 400, "INVALID_ARGUMENT", "labels")
    assert error["message"] == "labels: expected text inside"


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ("0", "expected 1 to 1000, got 0"),
        ("1001", "expected 1 to 1000, got 1001"),
        ("1" * 4000, "expected 1 to 1000, got 111111111111111111111111…"),
        ("1" * 5000, "expected a whole number"),
        ("many", "expected a whole number"),
        ("", "expected a whole number"),
    ],
)
def test_a_page_size_that_cannot_be_is_refused_in_a_short_line(ask, size, said):
    error = refused(ask.get("/v1/face/people", params={"page_size": size}), 400, "INVALID_ARGUMENT", "page_size")
    assert error["message"] == f"page_size: {said}"


def test_a_number_of_a_million_digits_is_not_read(ask):
    error = refused(
        ask.post("/v1/face/identify", content=b'{"top_k": %s}' % (b"1" * 10**6), headers=JSON), 400, INVALID
    )
    assert error["message"] == "not JSON that this server reads: has a number of more than 1000 digits"
    asked = {"img": (None, "AAAA"), "top_k": (None, "1" * 10**6)}
    error = refused(ask.post("/v1/face/identify", files=asked), 400, INVALID, "top_k")
    assert len(error["message"]) < 200


@pytest.mark.parametrize(
    "operation", [each for each in OPERATIONS if each.method == "POST"], ids=lambda each: each.name
)
def test_what_goes_into_the_body_is_not_taken_from_the_address(ask, operation):
    for query in ("anti_spoofing=true", "anti_spoofing", "anti%5Fspoofing=true&anti_spoofing=false"):
        error = refused(ask.post(f"{operation.path}?{query}", json={}), 400, INVALID, "anti_spoofing")
        assert error["message"] == "anti_spoofing: goes into the body, not into the address"


def test_nobody_is_registered_unchecked_by_an_address_that_asks_for_a_check(ask, live):
    before = ask.get("/v1/face/people").json()
    asked = {"img": live, "name": "Ada"}
    refused(ask.post("/v1/face/register?anti_spoofing=true", json=asked), 400, INVALID, "anti_spoofing")
    assert ask.get("/v1/face/people").json() == before


def test_a_parameter_that_is_in_the_address_twice_is_refused(ask):
    error = refused(ask.get("/v1/face/people?page_size=2&page_token=&page_size=3"), 400, INVALID, "page_size")
    assert error["message"] == "page_size: is in the address twice"


def test_a_person_without_an_id_cannot_be_forgotten(ask):
    refused(ask.post("/v1/face/forget", json={"id": ""}), 400, "INVALID_ARGUMENT", "id")
    refused(ask.post("/v1/face/forget", json={}), 400, "INVALID_ARGUMENT", "id")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"img"',
        b"{",
        b'{"img": NaN}',
        b'{"\\ud800": 1}',
        b'{"labels": {"\\udfff": 1}}',
        b"\xff\xfe{}",
        '{"img": "AAAA"}'.encode("utf-16"),
        b'{"anti_spoofing": true, "anti_spoofing": false, "img": "AAAA"}',
        b"[" * 100_000,
        b'{"img":' * 100_000,
        b'{"img": [' + b"0," * MOST_COMMAS + b"0]}",
        b'{"img": ' + b"1" * 5000 + b"}",
    ],
)
def test_what_is_no_json_object_is_refused(ask, body):
    error = ask.post("/v1/face/analyze", content=body, headers=JSON)
    assert error.json()["error"]["code"] == "INVALID_ARGUMENT"
    assert error.status_code == 400


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "cut off"),
        (b"--b\r\n\r\nx", "cut off"),
        (b'--b\r\nContent-Disposition: form-data; name="img"\r\n\r\nAAAA', "cut off"),
        (b'--b\r\nContent-Disposition: form-data; name="img"\r\n\r\nAAAA\r\n--b', "cut off"),
        (b"--b\r\nContent-Type: image/png\r\n\r\nAAAA\r\n--b--\r\n", "no name"),
        (b"nonsense", "not the form"),
        (b'--b\r\nContent-Disposition: form-data; name="img"\r\n\r\nAAAA\r\n' * 2 + b"--b--", "twice"),
        (b'--b\r\nContent-Disposition: form-data; name="img"\r\n\r\n\xff\r\n--b--', "UTF-8"),
        (b'--b\r\nContent-Disposition: form-data; name="anti_spoofing"\r\n\r\nyes\r\n--b--', "JSON"),
        (
            b"".join(b'--b\r\nContent-Disposition: form-data; name="%d"\r\n\r\n\r\n' % n for n in range(17)) + b"--b--",
            "more than 16",
        ),
    ],
)
def test_what_is_no_form_is_refused(ask, body, said):
    kind = {"content-type": "multipart/form-data; boundary=b"}
    answer = ask.post("/v1/face/analyze", content=body, headers=kind)
    assert said in answer.json()["error"]["message"]
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "image/jpeg"]
)
def test_a_body_of_another_kind_is_refused(ask, kind):
    for path in (*(f"/v1/face/{name}" for name in ASKED_WITH_LIVENESS), "/v1/face/forget", "/v1/detection"):
        answer = ask.post(path, content=b'{"img": "AAAA"}', headers={"content-type": kind} if kind else {})
        refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_body_is_what_its_type_says_whatever_else_stands_there(ask, live):
    asked = json.dumps({"img": live, "anti_spoofing": True})
    answer = ask.post("/v1/face/analyze", content=asked, headers={"content-type": "application/json; boundary=x"})
    assert answer.json()["faces"][0]["is_real"] is True
    for kind in ("multipart/form-data; boundary=b; boundary=c", "application/json; charset=utf-8 boundary"):
        error = refused(ask.post("/v1/face/analyze", content=asked, headers={"content-type": kind}), 400, INVALID)
        assert error["message"].startswith("Content-Type has ")
    twice = [("content-type", "application/json"), ("content-type", "multipart/form-data; boundary=b")]
    assert "twice" in refused(ask.post("/v1/face/analyze", content=asked, headers=twice), 400, INVALID)["message"]


def test_no_face_is_not_found_and_says_in_which_picture(ask, live):
    nobody = in_base64(blank())
    assert "2" in refused(verify(ask, live, nobody), 404, "NOT_FOUND", "img2")["message"]
    assert "1" in refused(verify(ask, nobody, live), 404, "NOT_FOUND", "img1")["message"]
    for path, others in (("embed", {}), ("identify", {}), ("register", {"name": "Ada"})):
        refused(ask.post(f"/v1/face/{path}", json={"img": nobody, **others}), 404, "NOT_FOUND", "img")


def test_a_path_or_method_that_is_not_there(ask):
    refused(ask.get("/v1/face/nothing"), 404, "NOT_FOUND")
    refused(ask.post("/v1/face/verify/"), 404, "NOT_FOUND")
    answer = ask.get("/v1/face/verify")
    refused(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("path", ASKED_WITH_LIVENESS)
def test_liveness_that_cannot_be_checked_is_an_error(server_without_liveness, live, path):
    asked = {key: value or live for key, value in ASKED_WITH_LIVENESS[path].items()}
    with rest(server_without_liveness.grpc) as ask:
        answer = ask.post(f"/v1/face/{path}", json={**asked, "anti_spoofing": True})
        refused(answer, 412, "FAILED_PRECONDITION")
        assert not liveness_keys(answer.json())
        assert ask.get("/v1/face/people").json()["people"] == []
        answer = ask.post(f"/v1/face/{path}", json={**asked, "anti_spoofing": False})
        assert answer.status_code == 200
        assert not liveness_keys(answer.json())


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Overloaded("no permit within 2 s"), 429, "RESOURCE_EXHAUSTED"),
        (Overloaded(f"{STOPPING_REASON}; ask another"), 503, "UNAVAILABLE"),
        (ServerFault("internal error, incident 0a1b2c3d"), 500, "INTERNAL"),
    ],
)
def test_trouble_of_tritons_is_told_with_when_to_come_again(error, status, code):
    with rest(Failing(error)) as ask:
        answer = verify(ask, "AAAA", "AAAA")
    refused(answer, status, code)
    assert answer.headers.get("retry-after") == ("1" if status != 500 else None)


def test_a_triton_that_is_gone_is_unavailable():
    with rest(f"127.0.0.1:{free_ports(1)[0]}") as ask:
        answer = verify(ask, "AAAA", "AAAA")
    error = refused(answer, 503, "UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"
    assert "127.0.0.1" not in error["message"]


def test_an_answer_that_is_late_is_given_up_and_triton_is_not_kept_busy():
    triton = Hanging()
    with rest(triton, timeout_s=0.2) as ask:
        refused(verify(ask, "AAAA", "AAAA"), 504, "DEADLINE_EXCEEDED")
    assert triton.cancelled == 1


def test_a_fault_of_ours_says_nothing_of_itself():
    with rest(Failing(RuntimeError("/srv/secret/path"))) as ask:
        answer = verify(ask, "AAAA", "AAAA")
        error = refused(answer, 500, "INTERNAL")
        assert ask.get("/docs").status_code == 200
    assert "incident" in error["message"]
    assert "secret" not in answer.text
    assert "RuntimeError" not in answer.text


def test_a_thousand_malformed_bodies_kill_nothing(ask):
    chance = random.Random(7)
    sound = {"img1": in_base64(blank()), "img2": in_base64(blank()), "anti_spoofing": True, "threshold": 0.4}
    form = httpx.Request("POST", ask.base_url, files={"img1": blank(), "img2": blank()}, data={"threshold": "0.4"})
    kinds = (("application/json", json.dumps(sound).encode()), (form.headers["content-type"], form.read()))
    seen = set()
    for number in range(1000):
        kind, body = kinds[number % 2]
        answer = ask.post("/v1/face/verify", content=_spoilt(body, chance), headers={"content-type": kind})
        seen.add((answer.status_code, answer.json()["error"]["code"]))
    assert (400, "INVALID_ARGUMENT") in seen
    assert seen <= {(400, "INVALID_ARGUMENT"), (404, "NOT_FOUND")}  # two pictures without a face stay readable at times
    refused(verify(ask, sound["img1"], sound["img2"]), 404, "NOT_FOUND", "img1")


def _spoilt(body: bytes, chance: random.Random) -> bytes:
    """Bytes changed, cut out, doubled or put in, at up to four places."""
    spoilt = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(spoilt) + 1)
        end = min(len(spoilt), start + chance.choice((0, 1, 1, 2, 30)))
        new = chance.choice((b"", b'"', b"{", b"\0", b"\xff", b"\r\n", b"null", b"1e999", spoilt[start:end] * 2))
        spoilt[start:end] = new
    return bytes(spoilt[: chance.choice((len(spoilt), len(spoilt), chance.randrange(len(spoilt) + 1)))])
