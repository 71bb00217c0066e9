"""Servers that several files of tests ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.narrow import narrow_serving
from support.serving import Server


@pytest.fixture(scope="session")
def narrow_server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One permit, and three places to wait: to be overloaded."""
    with narrow_serving(repository, tmp_path_factory.mktemp("narrow"), 3) as running:
        yield running
