"""From where people are remembered to what remembers them."""

from __future__ import annotations

from pathlib import Path

from facegate.errors import ServeError
from facegate.gateway.gallery import Gallery
from facegate.gateway.gallery.exporting import Source
from facegate.gateway.gallery.importing import Destination
from facegate.gateway.gallery.postgres.gallery import PostgresGallery
from facegate.gateway.gallery.postgres.store import PostgresStore
from facegate.gateway.gallery.sealing import KEY_VARIABLE, Seal, seal_of
from facegate.gateway.gallery.sqlite.gallery import SqliteGallery
from facegate.gateway.gallery.sqlite.reader import SqliteReader
from facegate.gateway.gallery.sqlite.writer import SqliteWriter

_POSTGRES = ("postgresql://", "postgres://")


def open_gallery(location: str, key: str | None, *, must_exist: bool = False) -> Gallery:
    """The gallery at a file's path or a postgresql:// address. Made where there is none, unless it `must_exist`.

    `key` seals the embeddings of a file: 32 bytes in base64 or hexadecimal, as the environment has them. Raises
    ServeError, in one line, for a gallery that cannot be opened, or not with this key.
    """
    seal = seal_of(key)
    if location.startswith(_POSTGRES):
        return PostgresGallery(_unsealed(location, seal), must_exist=must_exist)
    return SqliteGallery(_path(location), seal, must_exist=must_exist)


def open_source(location: str, key: str | None) -> Source:
    """A gallery to export, also while a gateway serves it. Raises ServeError as `open_gallery`, and for no gallery."""
    seal = seal_of(key)
    if location.startswith(_POSTGRES):
        return PostgresStore(_unsealed(location, seal), writes=False)
    return SqliteReader(_path(location), seal)


def open_destination(location: str, key: str | None) -> Destination:
    """A gallery to import into; a file that no gateway serves. Raises ServeError as `open_gallery`."""
    seal = seal_of(key)
    if location.startswith(_POSTGRES):
        return PostgresStore(_unsealed(location, seal), writes=True)
    return SqliteWriter(_path(location), seal)


def _path(location: str) -> Path:
    if "://" in location:
        scheme = location.partition("://")[0]
        raise ServeError(f"a gallery is a file or a postgresql:// address, not {scheme}://")
    return Path(location).expanduser()


def _unsealed(address: str, seal: Seal | None) -> str:
    if seal is not None:
        raise ServeError(
            f"{KEY_VARIABLE} is set, and PostgreSQL has to read embeddings to compare them: unset it, and encrypt the "
            "disk that PostgreSQL writes to"
        )
    return address
