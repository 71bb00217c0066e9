"""The keys that callers show, by name. Only their digests are kept, and every one of them is compared each time."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from facegate.errors import ServeError

LEAST_KEY = 16
"""Characters. Keys are made by machines; anything shorter was probably made by a person."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KEY = re.compile(r"[!-~]{16,512}")  # visible ASCII: what an HTTP header can carry


class Keys:
    """Who may call. A name may have several keys, so that one can be replaced without a gap."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        """`pairs` of a name and a key. Raises ServeError, which never holds a key."""
        names: dict[bytes, str] = {}
        for name, key in pairs:
            if _NAME.fullmatch(name) is None:
                raise ServeError("API keys: a key's name is 1 to 64 letters, digits, dots, dashes or underscores")
            if _KEY.fullmatch(key) is None:
                raise ServeError(
                    f"API keys: the key of {name} has to be {LEAST_KEY} to 512 visible ASCII characters; "
                    "`openssl rand -hex 32` makes one"
                )
            if names.setdefault(_digest(key), name) != name:
                raise ServeError(f"API keys: {name} has the same key as {names[_digest(key)]}")
        self._names = tuple(names.items())

    def __len__(self) -> int:
        return len(self._names)

    def name_of(self, key: str) -> str | None:
        """Whose key it is. Takes as long for a wrong key as for a right one."""
        shown, found = _digest(key), None
        for digest, name in self._names:
            if hmac.compare_digest(digest, shown):
                found = name
        return found


def keys_from_text(text: str) -> Iterator[tuple[str, str]]:
    """Pairs of `name:key,name:key`, as an environment variable has them."""
    for each in filter(None, (part.strip() for part in text.split(","))):
        name, colon, key = each.partition(":")
        if not colon:
            raise ServeError("API keys: expected name:key,name:key in FACEGATE_GATEWAY_API_KEYS")
        yield name, key


def keys_from_file(path: Path) -> Iterator[tuple[str, str]]:
    """Pairs of a file with `name key` in each line; empty lines and those that begin with # are left out."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ServeError(f"{path}: is not UTF-8; expected a name and a key in each line") from None
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2:
            raise ServeError(f"{path}, line {number}: expected a name and a key, got {len(words)} words")
        yield words[0], words[1]


def shown_key(authorization: str | None, api_key: str | None) -> str | None:
    """The key of `Authorization: Bearer KEY`, or else of `X-Api-Key: KEY`."""
    scheme, _, key = (authorization or "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else api_key


def is_readable_by_others(path: Path) -> bool:
    """Whether a file of secrets lies open."""
    return bool(path.stat().st_mode & 0o044)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
