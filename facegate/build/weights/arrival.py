"""When a file is the one that its pack wants, and how it comes into the cache: whole, with the right SHA-256."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from facegate.build.weights.download import CHUNK
from facegate.errors import FetchError
from facegate.packs.pack_file import Download, WeightFile

Build = WeightFile | Download


def accept(part: Path, to: Path, want: WeightFile, origin: str) -> None:
    """Move the finished `part` into place. Raises FetchError for a file of another SHA-256, and deletes it."""
    if (found := sha256_of(part)) not in hashes(want):
        size = part.stat().st_size
        part.unlink()
        wanted = " or ".join(build.sha256 + sized(build) for build in builds(want))
        raise FetchError(
            f"{to.name} from {origin} is not the file expected, and was deleted: "
            f"its SHA-256 is {found} ({size:,} bytes), not {wanted}"
        )
    os.replace(part, to)
    if found != want.sha256:
        say(f"{to.name} is the alternative, from {origin}: its SHA-256 is {found}")


def builds(want: WeightFile) -> list[Build]:
    """The file itself, and another build of it where there is one."""
    return [want, want.alternative] if want.alternative else [want]


def hashes(want: WeightFile) -> list[str]:
    """The SHA-256s that a file may have."""
    return [build.sha256 for build in builds(want)]


def right(path: Path, want: WeightFile) -> bool:
    """Whether the file is there, with a SHA-256 that it may have."""
    return path.is_file() and sha256_of(path) in hashes(want)


def sha256_of(path: Path) -> str:
    """In lower-case hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sized(build: Build) -> str:
    """Its size in words, where it is known."""
    return f" ({build.size:,} bytes)" if build.size else ""


def part_of(cache: Path, name: str) -> Path:
    """Where a file is until all of it has come."""
    return cache / f"{name}.part"


def say(text: str) -> None:
    """A line for the person at the terminal."""
    print(text, file=sys.stderr)
