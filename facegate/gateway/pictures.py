"""A picture as text: base64, or a data URI of base64."""

from __future__ import annotations

import pybase64

from facegate.gateway.errors import invalid
from facegate_client import contract

MAX_ENCODED = (contract.MAX_IMAGE_BYTES + 2) // 3 * 4
_LONGEST_URI_HEAD = 200  # "data:image/jpeg;base64" has 22 characters


def is_address(text: str) -> bool:
    """Whether `text` names a picture of the web instead of being one."""
    return text[:8].lower().startswith(("http://", "https://"))


def from_base64(text: str, field: str) -> bytes:
    """The bytes of `text`, base64 in the usual alphabet with its padding, or `data:...;base64,...`.

    Line breaks are left out, as `base64` makes them; anything else that is not base64 is refused, never skipped: a
    space may have been a "+" before a form was decoded. A data URI's type is not believed: what a file is, its first
    bytes say. Raises GatewayError INVALID_ARGUMENT about `field`; the length is checked before anything is decoded.
    """
    if is_address(text):
        raise invalid(field, "addresses are not opened here; send the image itself in base64")
    encoded = _without_head(text, field)
    if "\n" in encoded or "\r" in encoded:
        encoded = encoded.replace("\r", "").replace("\n", "")
    if not encoded:
        raise invalid(field, "is empty")
    if len(encoded) > MAX_ENCODED:
        raise invalid(field, f"is larger than the limit of {contract.MAX_IMAGE_BYTES // 2**20} MiB")
    try:
        return pybase64.b64decode(encoded, validate=True)
    except ValueError:  # its text is about characters of the picture
        raise invalid(field, "is not base64; expected base64 with its padding, or data:image/...;base64,...") from None


def _without_head(text: str, field: str) -> str:
    if text[:5].lower() != "data:":
        return text
    comma = text.find(",", 0, _LONGEST_URI_HEAD)
    if comma < 0 or not text[:comma].lower().endswith(";base64"):
        raise invalid(field, "is a data URI that is not base64; expected data:image/...;base64,...")
    return text[comma + 1 :]
