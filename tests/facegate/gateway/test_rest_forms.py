"""Forms: what clients send is read, and what could be read without its anti_spoofing is not."""

from __future__ import annotations

import pytest

from facegate.gateway.errors import Code, GatewayError
from facegate.gateway.rest.form_body import MOST_HEAD, fields
from facegate.gateway.rest.header_value import parse

B = b"--b\r\n"
END = b"--b--\r\n"
CHECKED = {"img": b"\xff\r\n--\x00", "anti_spoofing": True}


def disposition(parameters: str) -> str:
    return f"Content-Disposition: form-data; {parameters}"


def part(headers: str, content: bytes = b"true") -> bytes:
    return B + headers.encode() + b"\r\n\r\n" + content + b"\r\n"


IMG = part(disposition('name="img"; filename="a.jpg"'), CHECKED["img"])
CHECK, MODEL = disposition('name="anti_spoofing"'), disposition('name="model"')


def refusal(body: bytes) -> str:
    with pytest.raises(GatewayError) as refused:
        fields(body, b"b")
    assert refused.value.failure.code is Code.INVALID_ARGUMENT
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (IMG + END + part(CHECK) + END, "goes on after"),
        (IMG + END + b"anti_spoofing=true", "goes on after"),
        (IMG + b"--b--" + part(CHECK) + END, "goes on after"),
        (b"anti_spoofing=true\r\n" + IMG + END, "not the form"),
        (b"\r\nanti_spoofing=true\r\n" + IMG + END, "not the form"),
        (IMG + b"--b \r\n" + CHECK.encode() + b"\r\n\r\ntrue\r\n" + END, "headers and content"),
        (IMG + b"--b\n" + CHECK.encode() + b"\n\ntrue\r\n" + END, "headers and content"),
        (IMG + B + CHECK.encode() + b"\r\n" + END, "headers and content"),
    ],
)
def test_a_field_before_between_or_after_the_parts_is_not_dropped(body, said):
    assert said in refusal(body)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        (f"{CHECK}\r\n{MODEL}", "header twice"),
        (f"{MODEL}\r\n{CHECK.upper()}", "header twice"),
        (f"{CHECK}\r\nContent-Type: text/plain\r\ncontent-type: image/png", "header twice"),
        (f"{CHECK}\r\nX-Empty:\r\nX-Empty:", "header twice"),
        (disposition('name="anti_spoofing"; name="model"'), "parameter twice"),
        (disposition('name="model"; NAME="anti_spoofing"'), "parameter twice"),
        (disposition('name="img"; filename="a"; filename="b"'), "parameter twice"),
        (disposition("name*=UTF-8''anti_spoofing"), "no name"),
        (disposition("name=model; name*=UTF-8''anti_spoofing"), "more in its Content-Disposition"),
        (disposition('name="model"; name*0="anti_"; name*1="spoofing"'), "more in its Content-Disposition"),
        (disposition('name="model" anti_spoofing'), "something else"),
        (disposition('name="model"name="anti_spoofing"'), "something else"),
        (disposition('name="model\\"; name="anti_spoofing"'), "something else"),
        (disposition('name="model'), "something else"),
        (disposition('name="model";\r\n name="anti_spoofing"'), "cannot be read"),
        (disposition('name="model\n"anti_spoofing"'), "cannot be read"),
        (disposition('name="model\0"'), "cannot be read"),
        (f"Content-Disposition : form-data; {CHECK}", "cannot be read"),
        ('Content-Disposition: attachment; name="anti_spoofing"', "no name"),
        (disposition('name=""'), "no name"),
        (disposition('filename="anti_spoofing"'), "no name"),
        ("Content-Type: text/plain", "no name"),
        (f"{CHECK}\r\nX: {'x' * MOST_HEAD}", "headers and content"),
        (f"{CHECK}\r\nContent-Transfer-Encoding: base64", "is encoded"),
        (f"{CHECK}\r\nContent-Transfer-Encoding: quoted-printable", "is encoded"),
        (f"{CHECK}\r\nContent-Type: text/plain; charset=utf-16", "charset"),
        (f"{CHECK}\r\nContent-Type: text/plain; charset=utf-7", "charset"),
        (f"{CHECK}\r\nContent-Type: text/plain; charset=utf-8; charset=utf-16", "parameter twice"),
    ],
)
def test_a_part_that_can_be_read_as_another_field_is_refused(headers, said):
    assert said in refusal(IMG + part(headers) + END)


@pytest.mark.parametrize("name", ["ANTI_SPOOFING", " anti_spoofing", "anti\\_spoofing", "anti%5Fspoofing"])
def test_a_name_is_what_is_written(name):
    assert set(fields(IMG + part(disposition(f'name="{name}"')) + END, b"b")) == {"img", name}


@pytest.mark.parametrize(
    "headers",
    [
        CHECK,
        CHECK.lower(),
        disposition("name=anti_spoofing"),
        f"{CHECK}\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Length: 4",
        f"{CHECK}\r\nContent-Type: text/plain; charset=ISO-8859-1\r\nContent-Transfer-Encoding: 8bit",
        f"{CHECK}\r\nContent-Type: application/json",
        f"{CHECK}\r\nContent-Type: application/json;charset=utf-8",
        f"{CHECK}\r\nContent-Type: text/plain; charset=utf8",
        f'{CHECK}; filename="blob"\r\nContent-Type: application/json',
    ],
    ids=["curl", "lower", "net", "okhttp", "apache", "json", "json utf-8", "utf8", "blob"],
)
def test_what_clients_send_is_read(headers):
    assert fields(IMG + part(headers) + END, b"b") == CHECKED
    assert fields(b"\r\n" + part(headers) + IMG + b"--b--", b"b") == CHECKED


@pytest.mark.parametrize(
    "parameters",
    [
        'name="img"; filename="a;b=\\"c\\".jpg"',
        'name="img"; filename="\u5b57\u0305.jpg"',
        "name=img; filename=a.jpg; filename*=utf-8''a.jpg",
        "name=img; filename*=utf-8''a.jpg;",
        'filename="a.jpg"; modification-date="Sun, 22 Nov 2026 17:00:00 GMT"; size=4; name="img"',
        'name="img"; filename="C:\\a.jpg"',
        'name="img"; filename=""',
    ],
)
def test_a_file_is_a_file_whatever_its_name(parameters):
    assert fields(part(disposition(parameters), CHECKED["img"]) + part(CHECK) + END, b"b") == CHECKED


def test_text_is_text_and_json_is_json():
    name = disposition('name="name"')
    latin = part(f"{name}\r\nContent-Type: text/plain; charset=ISO-8859-1", b"Jos\xe9")
    assert fields(latin + END, b"b") == {"name": "José"}
    assert fields(part(name, b'"Ada"') + END, b"b") == {"name": '"Ada"'}
    assert fields(part(f"{name}\r\nContent-Type: application/json", b'"Ada"') + END, b"b") == {"name": "Ada"}
    assert "expected JSON" in refusal(part(f"{name}\r\nContent-Type: application/json", b"Ada") + END)


def test_a_header_is_read_to_its_end():
    assert parse('Multipart/Form-Data; Boundary="a b;c" ;x=1;') == (
        "multipart/form-data",
        {"boundary": "a b;c", "x": "1"},
    )
    assert parse("multipart/form-data; boundary=--=_a/b:c") == ("multipart/form-data", {"boundary": "--=_a/b:c"})
    assert parse("") == ("", {})
