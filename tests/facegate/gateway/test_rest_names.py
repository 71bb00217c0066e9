"""Names and labels of new people: of any script, and nothing in them that cannot be seen."""

from __future__ import annotations

import unicodedata

import pytest

from facegate.gateway.checks import check_person, is_plain
from facegate.gateway.errors import GatewayError


@pytest.mark.parametrize(
    "text",
    [
        *("\u200b", "\ufeff", "\u200f", "\u061c", "\u00ad", "\U000e0001"),
        *("\u200c", "\u200d", "\u3164", "\u2800", "\uffa0"),
    ],
    ids=ascii,
)
def test_a_character_that_nobody_sees_is_refused_in_names_and_labels(text):
    for name in (text, f"Ada{text}", f"{text}Ada", f"Ada {text}Lovelace", f"Ada{text}{text}Lovelace"):
        with pytest.raises(GatewayError, match=r"^name: expected text without control characters, invisible ones"):
            check_person(name, {}, "")
        for labels in ({name: "x"}, {"x": name}):
            with pytest.raises(GatewayError, match=r"^labels: expected text without"):
                check_person("Ada", labels, "")


@pytest.mark.parametrize("name", ["\u0301", "\ufe0f", "\u00a0\u0301", "\u2003\ufe0e"], ids=ascii)
def test_a_name_without_anything_to_see_is_refused(name):
    with pytest.raises(GatewayError, match=r"^name: "):
        check_person(name, {}, "")


@pytest.mark.parametrize(
    "name",
    [
        "گل\u200cپری",
        "दीक्\u200dषा",
        "ജോൺ ജോണ\u0d4d\u200d",  # a joiner at the end: Malayalam as it was written before Unicode 5.1
        "עדה",
        "李 小龍",
        "葛\U000e0100",
        "O'Hara-Ünal",
        "👩\u200d🔬 ❤️\u200d🔥",
        "!?",
        "7",
    ],
    ids=ascii,
)
def test_names_of_every_script_are_taken(name):
    for form in ("NFC", "NFD"):
        each = unicodedata.normalize(form, name)
        check_person(each, {each: each}, "")


def test_what_was_stored_before_is_imported():
    """An export's text is held against this alone."""
    assert is_plain("Ada\u200b")
    assert is_plain("\u061c")
