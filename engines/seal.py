"""Whether a repository of engines is still the one that was built: its files, its inputs and its options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from google.protobuf import text_format
from pydantic import ValidationError
from tritonclient.grpc import model_config_pb2

from engines.build import inputs_checksum
from engines.errors import EngineError
from engines.manifest import ManifestError, check_files, read_manifest, write_manifest
from ensemble.pack import Pack
from facegate_client import contract


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


def packed(repository: Path) -> Pack:
    """The pack that a repository was assembled with. Raises EngineError where it has none that can be read."""
    config = model_config_pb2.ModelConfig()
    try:
        text_format.Parse((repository / contract.ANALYZE / "config.pbtxt").read_text(encoding="utf-8"), config)
        return Pack.model_validate_json(config.parameters["pack"].string_value)
    except (OSError, ValueError, text_format.ParseError, ValidationError):
        raise EngineError(f"{repository.name}: {contract.ANALYZE} has no configuration that can be read") from None
