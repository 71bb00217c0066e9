"""What may be said of people, and asked for about them, checked before any work. Raises GatewayErrors."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from facegate.gateway.errors import Code, GatewayError, invalid
from facegate_client import contract
from facegate_client.contract import SeveralFaces
from facegate_ensemble.policy import Policy

TOP_K = 5
MOST_MATCHES = 100
MOST_PHOTOS = 16
MOST_NAME = 200
MOST_LABELS = 32
MOST_LABEL = 200
MOST_PEOPLE = 1000  # on a page
MOST_SHOWN = 24  # characters of a number in a message: any float's

_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_NOT_PLAIN = ("Cc", "Cs", "Zl", "Zp")
_TURNING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
_JOINERS = "\u200c\u200d"
_BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
"""Characters that show nothing and are of a category that does: grapheme joiner, fillers, inherent vowels, no dots."""


def check_id(person_id: str) -> None:
    """Raises NOT_FOUND for what is no person's id."""
    if not _ID.fullmatch(person_id):
        raise GatewayError(Code.NOT_FOUND, "there is no person of this id", "person_id")


def check_person(name: str, labels: Mapping[str, str], person_id: str) -> None:
    """A new person's name and labels, or the id of one who is there."""
    if person_id:
        check_id(person_id)
        if name or labels:
            raise invalid("person_id", "a person who is there keeps name and labels; leave them out")
        return
    if not name.strip() or len(name) > MOST_NAME:
        raise invalid("name", f"expected 1 to {MOST_NAME} characters, got {len(name)}")
    _check_text("name", name)
    if not any(unicodedata.category(character)[0] in "LNPS" for character in name):
        raise invalid("name", "expected a character that can be seen")
    if len(labels) > MOST_LABELS:
        raise invalid("labels", f"expected at most {MOST_LABELS}, got {len(labels)}")
    for key, value in labels.items():
        if not key or max(len(key), len(value)) > MOST_LABEL:
            raise invalid("labels", f"expected names and values of at most {MOST_LABEL} characters")
        _check_text("labels", key)
        _check_text("labels", value)


def check_photos(count: int) -> None:
    """How many photos come with one request."""
    if not 1 <= count <= MOST_PHOTOS:
        raise invalid("images", f"expected 1 to {MOST_PHOTOS}, got {count}")


def check_page(after: str, count: int) -> None:
    """Where a page of people begins, and how long it is."""
    if not 1 <= count <= MOST_PEOPLE:
        raise invalid("page_size", f"expected 1 to {MOST_PEOPLE}, got {_shown(count)}")
    if after and not _ID.fullmatch(after):
        raise invalid("page_token", "is not one that this server gave")


def is_plain(text: str) -> bool:
    """Whether every store keeps it, and every terminal shows it in one line and in its own order.

    No control character, no half of a surrogate pair, no line or paragraph separator, and none of the characters that
    turn the direction of what follows (https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters): names
    of right-to-left scripts do without.
    """
    return not any(
        unicodedata.category(character) in _NOT_PLAIN or unicodedata.bidirectional(character) in _TURNING
        for character in text
    )


def _shown(number: float) -> str:
    """For a message: as it came, or as much of it as anybody wants to read."""
    text = str(number)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def _check_text(field: str, text: str) -> None:
    if not is_plain(text) or any(_is_hidden(text, at) for at in range(len(text))):
        raise invalid(field, "expected text without control characters, invisible ones and line separators")


def _is_hidden(text: str, at: int) -> bool:
    """Whether nobody sees this character: two names that look the same would be two people.

    Joiners stay where Persian, Indic scripts and emoji have them: between two characters, or after a virama
    (https://www.rfc-editor.org/rfc/rfc5892#appendix-A.1).
    """
    if text[at] not in _JOINERS:
        return unicodedata.category(text[at]) == "Cf" or text[at] in _BLANK
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if before and unicodedata.combining(before) == 9:
        return False
    return any(not each or each.isspace() or unicodedata.category(each) == "Cf" for each in (before, after))


def check_liveness_policy(policy: Policy, anti_spoofing: bool) -> None:
    """Raises INVALID_ARGUMENT where the operator requires the liveness check and the request does not ask for it."""
    if policy.require_liveness and not anti_spoofing:
        raise invalid("anti_spoofing", "expected true: this server requires the liveness check")


def check_threshold(policy: Policy, threshold: float | None) -> None:
    """Raises INVALID_ARGUMENT for a distance, 1 - cosine, that no request may set as its threshold."""
    if threshold is not None and not contract.LEAST_THRESHOLD <= threshold <= policy.max_threshold:  # NaN fails
        raise invalid(
            "threshold", f"expected a distance over 0 and at most {policy.max_threshold:g}, got {_shown(threshold)}"
        )


def check_model_threshold(policy: Policy, threshold: float) -> None:
    """Raises FAILED_PRECONDITION where the server's own threshold is above the operator's limit."""
    if threshold > policy.max_threshold:
        raise GatewayError(
            Code.FAILED_PRECONDITION,
            f"the inference server's own threshold {threshold:g} is above the gateway's --max-threshold "
            f"{policy.max_threshold:g}",
        )


def check_search(top_k: int, margin: float) -> None:
    """Raises INVALID_ARGUMENT for a number of matches, or for a margin between distances, out of range."""
    if not 1 <= top_k <= MOST_MATCHES:
        raise invalid("top_k", f"expected 1 to {MOST_MATCHES}, got {_shown(top_k)}")
    if not 0 <= margin <= 2:
        raise invalid("margin", f"expected a distance of 0 to 2, got {_shown(margin)}")


def check_several_faces(value: str | None) -> SeveralFaces | None:
    """Which face counts in an image that shows more than one; None where the caller does not say."""
    if value is None:
        return None
    try:
        return SeveralFaces(value)
    except ValueError:
        choices = ", ".join(choice.value for choice in SeveralFaces)
        raise invalid("several_faces", f"expected one of {choices}, got {value[:MOST_SHOWN]!a}") from None
