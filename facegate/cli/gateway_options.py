"""What the options of `facegate gateway` mean together, and what of them is refused before anything starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from facegate.cli.console import say
from facegate.cli.environment import API_KEYS
from facegate.errors import ServeError
from facegate.gateway.door.keys import Keys, is_readable_by_others, keys_from_file, keys_from_text
from facegate.gateway.settings import Settings
from facegate.gateway.tls_files import ServerTls, check_certificates, check_pair
from facegate_client.transport.base import Tls

_TRITON = re.compile(r"(http://)?([^\s/:@\[\]]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")


def keys(environment: Mapping[str, str], file: Path | None) -> Keys | None:
    """Of the environment and of the file; None where there is neither. Raises ServeError."""
    pairs = []
    if API_KEYS in environment:
        pairs += _some(API_KEYS, list(keys_from_text(environment[API_KEYS])), "name:key,name:key")
    if file is not None:
        pairs += _some(str(file), list(keys_from_file(file)), "a name and a key in each line")
        if is_readable_by_others(file):
            say(f"{file}: other users of this machine can read the keys; chmod 600 keeps them out")
    return Keys(pairs) if pairs else None


def _some(source: str, pairs: list[tuple[str, str]], expected: str) -> list[tuple[str, str]]:
    if not pairs:
        raise ServeError(f"{source}: no key in it; expected {expected}")
    return pairs


def server_tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> ServerTls | None:
    """Raises ServeError for files that cannot be used."""
    if certificate is None and key is None and client_ca is None:
        return None
    if certificate is None or key is None:
        raise ServeError("TLS needs --tls-certificate and --tls-key together; --tls-client-ca goes on top of them")
    check_pair(certificate, key)
    if client_ca is not None:
        check_certificates(client_ca)
    return ServerTls(certificate, key, client_ca)


def triton_url(url: str) -> str:
    """As it is. Raises ServeError, without repeating what may hold a password."""
    address = _TRITON.fullmatch(url)
    if address is None or not 0 < int(address[3]) <= 65535:
        raise ServeError(
            "--url: expected host:port of Triton's gRPC, or http://host:port of its HTTP; "
            "TLS is for gRPC alone, by --triton-tls-ca"
        )
    return url


def triton_tls(url: str, ca: Path | None, certificate: Path | None, key: Path | None) -> Tls | None:
    """Raises ServeError for files that cannot be used."""
    if ca is None and certificate is None and key is None:
        return None
    if url.startswith("http://"):
        raise ServeError(f"--url {url}: Triton's HTTP cannot speak TLS; give host:port of its gRPC")
    if (certificate is None) != (key is None):
        raise ServeError("--triton-tls-certificate and --triton-tls-key go together")
    if ca is not None:
        check_certificates(ca)
    if certificate is not None and key is not None:
        check_pair(certificate, key)
    return Tls(ca=ca, certificate=certificate, key=key)


def check_openness(settings: Settings, *, without_keys: bool) -> None:
    """Raises ServeError for a gateway that everybody on the network may use by accident."""
    if settings.is_local:
        return
    if not settings.authenticates and not without_keys:
        raise ServeError(
            f"--host {settings.host} without keys: whoever reaches it could enrol, read and forget people. "
            f"Give --api-keys-file or {API_KEYS}, or --tls-client-ca, or say --without-keys"
        )
    if not settings.authenticates:
        say(f"NO KEYS: whoever reaches {settings.host} may enrol, read and forget people")
    elif settings.tls is None:
        say("keys and pictures go over the network in the clear: give --tls-certificate, or have a proxy speak TLS")
