"""Encryption of embeddings at rest: AES-256-GCM, by a key that only the environment knows."""

from __future__ import annotations

import base64
import binascii
import os
import re

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from facegate.errors import ServeError

KEY_VARIABLE = "FACEGATE_GATEWAY_GALLERY_KEY"
NONCE_BYTES = 12
"""As NIST SP 800-38D wants it; random ones are good for 2^32 embeddings under a key."""

_PROOF = b"facegate gallery"


class Seal:
    """Seals bytes to a name: what was sealed to one name does not open under another."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, data: bytes, name: bytes) -> bytes:
        """A nonce, the ciphertext and its tag: 28 bytes more than `data`."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, name)

    def unseal(self, sealed: bytes, name: bytes) -> bytes:
        """What was sealed. Raises ServeError for bytes that this key did not seal to this name."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], name)
        except (InvalidTag, ValueError):
            raise ServeError("authentication failed: the data was modified, or the key is wrong") from None

    def proof(self) -> bytes:
        """What a store keeps to know the key again."""
        return self.seal(b"", _PROOF)

    def made(self, proof: bytes) -> bool:
        """Whether this key made the proof."""
        try:
            self.unseal(proof, _PROOF)
        except ServeError:
            return False
        return True


def seal_of(key: str | None) -> Seal | None:
    """The seal by a key as the environment has it: 32 bytes in base64 or in hexadecimal; None without one.

    Raises ServeError for anything else, an empty one too, without saying what it was.
    """
    return None if key is None else Seal(_key_bytes(key.strip()))


def _key_bytes(text: str) -> bytes:
    if re.fullmatch(r"[0-9A-Fa-f]{64}", text):
        return bytes.fromhex(text)
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise ServeError(
            f"{KEY_VARIABLE}: expected 32 bytes in base64 or hexadecimal, as openssl rand -base64 32 makes"
        )
    return key
