"""Lists that are read a page at a time: what a page is asked for with, on every wire."""

from __future__ import annotations

import base64
import binascii

from facegate.gateway.errors import invalid


def page_token(last_id: str) -> str:
    """What the page after the one that ends with `last_id` is asked for with."""
    return base64.urlsafe_b64encode(last_id.encode()).decode()


def last_id_of(token: str) -> str:
    """The id that `page_token` was given; nothing of nothing. Raises GatewayError INVALID_ARGUMENT."""
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        raise invalid("page_token", "is not one that this server gave") from None
