"""The gallery's file: made, opened, and refused where it is not one that this version writes."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from facegate.errors import ServeError
from facegate.gateway.gallery.sealing import KEY_VARIABLE, Seal

APPLICATION = 0x46614761  # "FaGa"
VERSION = 1

PAGE_BYTES = 8192
"""Holds three embeddings of 512 values. One of SQLite's own 4096 bytes would hold one, and be half empty."""

BUSY_MS = 5_000
"""How long a call waits for an export that reads the same file."""

_STRICT = "STRICT" if sqlite3.sqlite_version_info >= (3, 37) else ""

# Rows are only appended, and those of forgotten people are emptied where they are, never deleted. SQLite overwrites
# what is deleted (secure_delete), but where it moves rows from page to page, to make room or to merge pages, it leaves
# copies of them behind; appended rows of tables by number, which stay, are never moved.
_TABLES = f"""
CREATE TABLE about (name TEXT PRIMARY KEY, value BLOB NOT NULL) {_STRICT};
CREATE TABLE recognizer (
    number INTEGER PRIMARY KEY,
    embedding_digest TEXT NOT NULL,
    pack TEXT NOT NULL,
    dim INTEGER NOT NULL,
    UNIQUE (embedding_digest, pack, dim)
) {_STRICT};
CREATE TABLE person (                -- id NULL: forgotten
    number INTEGER PRIMARY KEY,
    id TEXT UNIQUE,
    name TEXT NOT NULL,
    labels TEXT NOT NULL,            -- JSON
    registered_at INTEGER NOT NULL   -- microseconds since 1970, UTC
) {_STRICT};
CREATE TABLE photo (                 -- person NULL: forgotten
    number INTEGER PRIMARY KEY,
    person INTEGER REFERENCES person,
    recognizer INTEGER NOT NULL REFERENCES recognizer,
    created_at INTEGER NOT NULL,
    vector BLOB NOT NULL             -- little-endian float32 [dim], or the same sealed
) {_STRICT};
CREATE INDEX photo_of_person ON photo (person);
"""

# A table of its own, and not a column of photo: giving rows of version 0.1 a checksum makes no photo longer, which
# would move it. Version 0.1 opens such a file; what it adds has no checksum until a later version opens the file again.
_CHECKSUMS = f"""
CREATE TABLE IF NOT EXISTS checksum (
    photo INTEGER PRIMARY KEY REFERENCES photo,
    value BLOB NOT NULL              -- SHA-256 of photo.vector as it is stored, see records.checksum; zeros: forgotten
) {_STRICT}
"""

_ALWAYS = (
    "foreign_keys = ON",
    "secure_delete = ON",
    "synchronous = FULL",  # a commit is on the disk when it returns
    "temp_store = MEMORY",  # VACUUM's copy of everything does not go to a temporary directory
)


def no_gallery(path: Path) -> ServeError:
    """A gallery was expected at `path`."""
    return ServeError(
        f"{path}: there is no gallery: the file is missing or empty. Check the path, and that its volume is mounted"
    )


def connect(path: Path, seal: Seal | None, *, writes: bool, make: bool) -> sqlite3.Connection:
    """A connection to a file that exists, for threads that take turns. With `make`, an empty file becomes a gallery.

    Raises ServeError for a file that is none of ours, of a newer version, or sealed in another way than asked for.
    """
    if not path.is_file():
        raise no_gallery(path)
    try:
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise ServeError(f"{path}: cannot be opened: {error}") from error
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        for pragma in _ALWAYS:
            connection.execute(f"PRAGMA {pragma}")
        if not writes:
            connection.execute("PRAGMA query_only = ON")
        _check(connection, path, seal, make=make)
        if writes:
            connection.execute(_CHECKSUMS)
    except sqlite3.Error as error:
        connection.close()
        raise ServeError(f"{path}: cannot be used as a gallery: {reason(error)}") from error
    except ServeError:
        connection.close()
        raise
    return connection


def reason(error: sqlite3.Error) -> str:
    """What is wrong, and what to do where the file itself is no good any more (SQLITE_CORRUPT, SQLITE_NOTADB)."""
    if type(error) is sqlite3.DatabaseError:
        return f"damaged, or never a gallery ({error}): restore a backup, or import an export into another file"
    return str(error)


def has_checksums(connection: sqlite3.Connection) -> bool:
    """Whether the file has the table of checksums."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'checksum'").fetchone() is not None


def _check(connection: sqlite3.Connection, path: Path, seal: Seal | None, *, make: bool) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not (application or version or tables):
        if not make:
            raise no_gallery(path)
        _make(connection, seal)
        logging.getLogger(__name__).warning("%s: there was no gallery; created a new, empty one", path)
    elif application != APPLICATION:
        raise ServeError(f"{path}: another program's database, not a gallery")
    elif version != VERSION:
        raise ServeError(f"{path}: a gallery of version {version}; this FaceGate knows {VERSION}: use the newer one")
    _check_seal(connection, path, seal)


def _make(connection: sqlite3.Connection, seal: Seal | None) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode = WAL")
    made = [] if seal is None else [("seal", seal.proof())]
    connection.execute("BEGIN EXCLUSIVE")
    for statement in _TABLES.split(";\n"):
        connection.execute(statement)
    connection.executemany("INSERT INTO about VALUES (?, ?)", made)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def _check_seal(connection: sqlite3.Connection, path: Path, seal: Seal | None) -> None:
    proof = connection.execute("SELECT value FROM about WHERE name = 'seal'").fetchone()
    if proof is None and seal is not None:
        raise ServeError(
            f"{path}: this gallery is not sealed, and {KEY_VARIABLE} is set. To seal it: facegate gallery export "
            "people.jsonl without the key, then facegate gallery import people.jsonl into another file with it"
        )
    if proof is not None and seal is None:
        raise ServeError(f"{path}: this gallery is sealed: set {KEY_VARIABLE}")
    if proof is not None and seal is not None and not seal.made(proof[0]):
        raise ServeError(f"{path}: {KEY_VARIABLE} is not the key that this gallery was sealed with")
