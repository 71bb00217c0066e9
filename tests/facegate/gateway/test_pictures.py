"""Pictures as text: what is taken, and that nothing is taken for what it is not."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegate.gateway.errors import GatewayError
from facegate.gateway.pictures import from_base64
from facegate_client.contract import MAX_IMAGE_BYTES


@given(st.binary(min_size=1, max_size=200), st.integers(1, 80))
def test_what_was_encoded_comes_back_however_its_lines_are_broken(data, width):
    text = base64.b64encode(data).decode()
    lines = "\r\n".join(text[start : start + width] for start in range(0, len(text), width))
    for each in (text, lines, f"{lines}\n", f"data:image/jpeg;base64,{text}", f"DATA:;charset=x;BASE64,{lines}"):
        assert from_base64(each, "img") == data


@given(st.text(max_size=100))
def test_other_text_is_refused_by_its_field_or_is_base64(text):
    try:
        data = from_base64(text, "img")
    except GatewayError as error:
        assert error.failure.violations[0].field == "img"
    else:
        plain = text.partition(",")[2] if text.lower().startswith("data:") else text
        assert base64.b64encode(data).decode() == plain.replace("\r", "").replace("\n", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("\n", "empty"),
        ("data:image/png;base64,", "empty"),
        ("AA AA", "not base64"),
        ("AAA", "not base64"),
        ("AAAA=AAA", "not base64"),
        ("-_-_", "not base64"),
        ("data:image/png,AAAA", "data URI"),
        ("data:image/png;base64", "data URI"),
        ("https://example.org/a.jpg", "addresses"),
        ("HTTP://example.org/a.jpg", "addresses"),
    ],
)
def test_a_refusal_says_why_and_repeats_nothing(text, said):
    with pytest.raises(GatewayError, match=said) as refusal:
        from_base64(text, "img")
    assert "example.org" not in str(refusal.value)


def test_the_limit_is_of_the_picture_and_is_checked_before_it_is_decoded():
    largest = base64.b64encode(bytes(MAX_IMAGE_BYTES)).decode()
    assert len(from_base64(largest, "img")) == MAX_IMAGE_BYTES
    with pytest.raises(GatewayError, match="10 MiB"):
        from_base64("!" * (len(largest) + 4), "img")
