"""The one exception of the decoder."""

from __future__ import annotations


class InvalidImage(ValueError):
    """An image that cannot be decoded or is over a limit. The message is one line and names no file."""
