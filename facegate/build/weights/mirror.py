"""A mirror holds copies of files under their names: a directory, at any depth, or an http(s) address."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from facegate.errors import FetchError


def is_address(mirror: str) -> bool:
    """Whether a mirror is an http(s) address, and no directory."""
    return mirror.lower().startswith(("http://", "https://"))


def named_files(directory: Path, names: Collection[str]) -> dict[str, list[Path]]:
    """For each name, every path under the directory that ends in it. Raises FetchError without a directory."""
    if not directory.is_dir():
        fault = "is not a directory" if directory.exists() else "does not exist"
        raise FetchError(f"the mirror {directory} {fault}; it has to be a directory or an http(s) address")
    hits: dict[str, list[Path]] = {name: [] for name in names}
    seen: set[tuple[int, int]] = set()
    for folder, inner, here in os.walk(directory, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:  # a link may lead back to a folder above it
            inner.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        for name in hits.keys() & here:
            hits[name].append(Path(folder, name))
    return hits
