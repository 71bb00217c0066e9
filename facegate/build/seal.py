"""Whether a repository of engines is still the one that was built: its files, its inputs and its options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from facegate.build.build import inputs_checksum
from facegate.build.repository.assemble import packed
from facegate.build.repository.manifest import ManifestError, check_files, read_manifest, write_manifest
from facegate.errors import EngineError


def seal(repository: Path, licences: Mapping[str, str], options: str) -> None:
    """Write the manifest of a repository that was built for these `options`."""
    write_manifest(repository, inputs_checksum(packed(repository), licences, options), options)


def is_whole(repository: Path, licences: Mapping[str, str], options: str | None = None) -> bool:
    """Whether a repository has the files of its manifest, which the code as it is now would write, and was built for
    these `options` unless None."""
    try:
        manifest = read_manifest(repository)
        check_files(repository, manifest.files, repository)
        inputs = inputs_checksum(packed(repository), licences, manifest.options)
    except (ManifestError, EngineError):
        return False
    return manifest.inputs == inputs and options in (None, manifest.options)
