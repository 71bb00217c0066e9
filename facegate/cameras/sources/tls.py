"""Certificate verification of https and rtsps sources."""

from __future__ import annotations

import os
import ssl
from typing import Any

from facegate.cameras.frame import SourceError
from facegate.cameras.sources.spec import SourceSpec
from facegate_client.errors import printable

_AUTHORITIES = (  # the distributions' paths, used if Python's default does not exist
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def verifies(spec: SourceSpec) -> bool:
    """Whether the certificate of the source is verified, its name and its chain.

    Of https by default, of rtsps where `tls_ca` or `tls_verify=true` is given: cameras sign their own certificates.
    """
    if spec.tls_verify is not None:
        return spec.tls_verify
    return spec.scheme == "https" or spec.tls_ca is not None


def tls_options(spec: SourceSpec) -> dict[str, str]:
    """FFmpeg's options for the source's connections. Raises SourceError where the authorities cannot be read."""
    if spec.scheme not in ("https", "rtsps"):
        return {}
    if not verifies(spec):
        return {"tls_verify": "0"}
    return {"tls_verify": "1", "ca_file": _authorities(spec)}


def open_verified(spec: SourceSpec, url: str, flags: int, options: dict[str, str]) -> Any:
    """Opens a URL that a playlist names, with verification, as a file for FFmpeg to read.

    FFmpeg itself gives the options of TLS to the playlist's connection alone: what the playlist names would be read
    without verification. `flags` is unused.
    """
    from av import open as open_container

    options = options | tls_options(spec) | {"protocol_whitelist": "https,tcp,tls,crypto", "format_whitelist": "data"}
    return _Download(open_container(url, format="data", options=options, timeout=10.0))


class _Download:
    """The bytes of a container of FFmpeg's format "data", as a file to read from."""

    def __init__(self, container: Any) -> None:
        self._container = container
        self._packets = container.demux()
        self._rest = b""

    def read(self, size: int) -> bytes:
        """At most `size` bytes, none at the end."""
        while not self._rest and (packet := next(self._packets, None)) is not None:
            self._rest = bytes(packet)
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def close(self) -> None:
        self._container.close()


def _authorities(spec: SourceSpec) -> str:
    if spec.tls_ca is not None:
        try:
            ssl.create_default_context(cafile=spec.tls_ca)
        except (OSError, ssl.SSLError) as error:
            shown = printable(spec.tls_ca)
            raise SourceError(f"tls_ca: cannot read {shown} as PEM: {error.strerror or error}") from error
        return os.path.abspath(spec.tls_ca)
    found = (ssl.get_default_verify_paths().cafile, *_AUTHORITIES)
    file = next((each for each in found if each and os.path.isfile(each)), None)
    if file is None:
        raise SourceError("no certificate authorities on this system: name a PEM file with #tls_ca=")
    return file
