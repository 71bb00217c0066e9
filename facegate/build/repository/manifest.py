"""manifest.json of a repository: what it was built from, and the SHA-256 of each of its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from facegate.build.weights.arrival import sha256_of

MANIFEST = "manifest.json"


class ManifestError(RuntimeError):
    """A repository has no manifest that can be read, or a file that is not the one in it; `str()` is one line."""


class Manifest(BaseModel):
    """SHA-256s are lower-case hexadecimal.

    `inputs` is the checksum of what the repository was built from, `options` what it was built for (engines only), and
    `files` has the SHA-256 of every other file of the repository by its relative path.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    inputs: str
    options: str = ""
    files: dict[str, str]


def write_manifest(repository: Path, inputs: str, options: str = "") -> None:
    """Write the manifest of `repository` as it is now."""
    files = {name: sha256_of(repository / name) for name in sorted(_files_in(repository))}
    manifest = Manifest(inputs=inputs, options=options, files=files)
    (repository / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_manifest(repository: Path) -> Manifest:
    """The manifest of `repository`. Raises ManifestError."""
    try:
        return Manifest.model_validate_json((repository / MANIFEST).read_bytes())
    except OSError:
        raise ManifestError(f"{repository} has no {MANIFEST}") from None
    except ValidationError:
        raise ManifestError(f"{repository / MANIFEST} is damaged") from None


def check_files(folder: Path, files: Mapping[str, str], shown: Path) -> None:
    """Raises ManifestError unless `folder` has exactly these files, by their SHA-256. The error names the file in
    `shown`."""
    for name, expected in files.items():
        try:
            found = sha256_of(folder / name)
        except OSError as error:
            raise ManifestError(f"{shown / name} cannot be read: {error.strerror}") from None
        if found != expected:
            raise ManifestError(f"{shown / name} was changed: SHA-256 {found}, expected {expected}")
    if more := _files_in(folder) - set(files):
        raise ManifestError(f"{shown / min(more)} is not in {MANIFEST}")


def _files_in(folder: Path) -> set[str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix() for path in paths} - {MANIFEST}
