"""The server's TLS files, checked before anything starts: gRPC reports no cause for a wrong one."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from facegate.errors import ServeError

_NOT_ITS_KEY = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
"""OpenSSL's reasons; the last is that of a key of another kind, RSA's for EC's perhaps."""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """PEM files: the certificate and its key that callers are shown, and whose certificates callers have to show."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


def check_pair(certificate: Path, key: Path) -> None:
    """Raises ServeError unless they are a certificate and its key, in PEM, and the key is not sealed."""
    check_certificates(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=_nobody_to_ask)
    except _SealedKeyError:
        raise ServeError(
            f"{key}: the key has a passphrase, which nobody is there to type; `openssl pkey` writes it without"
        ) from None
    except ssl.SSLError as error:
        if error.reason in _NOT_ITS_KEY:
            raise ServeError(f"{key}: is not the key of {certificate}") from None
        if error.reason is None:
            raise ServeError(f"{key}: no private key (PEM) in it") from None
        raise ServeError(f"{certificate} with {key}: {_in_words(error.reason)}") from None


def check_certificates(file: Path) -> None:
    """Raises ServeError unless a certificate, in PEM, is in the file."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(file)
    except ssl.SSLError:
        raise ServeError(f"{file}: no certificate (PEM) in it, or a damaged one") from None


class _SealedKeyError(Exception):
    pass


def _nobody_to_ask() -> str:
    """Instead of OpenSSL's own question on the terminal."""
    raise _SealedKeyError


def _in_words(reason: str) -> str:
    """OpenSSL's, such as EE_KEY_TOO_SMALL."""
    return reason.lower().replace("_", " ")
