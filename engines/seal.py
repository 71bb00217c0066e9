"""Whether a repository of engines is still what was installed: its files, the code around it, what was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from google.protobuf import text_format
from pydantic import ValidationError
from tritonclient.grpc import model_config_pb2

from engines.build import FINGERPRINT, fingerprint
from engines.errors import EngineError
from ensemble.pack import Pack
from facegate_client import contract


def seal(repository: Path, licences: Mapping[str, str], asked: str) -> None:
    """Write down what a repository is, in two lines: what was `asked` for, and a digest of that and of all it has."""
    digest = fingerprint(packed(repository), licences, repository, asked)
    (repository / FINGERPRINT).write_text(f"{asked}\n{digest}\n", encoding="utf-8")


def is_whole(repository: Path, licences: Mapping[str, str], asked: str | None = None) -> bool:
    """Whether a repository is as it was sealed, by the code as it is now, and for what was `asked` unless None."""
    try:
        known, digest = (repository / FINGERPRINT).read_text(encoding="utf-8").splitlines()
        same = digest == fingerprint(packed(repository), licences, repository, known)
    except (OSError, ValueError, EngineError):
        return False
    return same and asked in (None, known)


def packed(repository: Path) -> Pack:
    """The pack that a repository was assembled with. Raises EngineError where it has none that can be read."""
    config = model_config_pb2.ModelConfig()
    try:
        text_format.Parse((repository / contract.ANALYZE / "config.pbtxt").read_text(encoding="utf-8"), config)
        return Pack.model_validate_json(config.parameters["pack"].string_value)
    except (OSError, ValueError, text_format.ParseError, ValidationError):
        raise EngineError(f"{repository.name}: {contract.ANALYZE} has no configuration that can be read") from None
