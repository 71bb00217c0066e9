"""A pack's TOML file: where its nets' files come from, beside what the ensemble knows of them."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, HttpUrl, ValidationError, model_validator

from facegate.errors import PackError
from facegate_ensemble.pack import FileName, Listed, Net, Pack, Section

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Bytes = Annotated[int, Field(gt=0)]
ArchiveName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,120}\.zip$")]
Url = Annotated[HttpUrl, Listed]


class Download(Section):
    """A file on the web; `size` in bytes, where it is known, `sha256` in lower-case hexadecimal."""

    url: Url
    sha256: Sha256
    size: Bytes | None = None


class WeightFile(Section):
    """One file: from `url`, from `path` beside the pack's TOML, or from the zip that [archives] lists as `archive`.

    `alternative` is another build of the same weights, taken where the first cannot be had. `never_run` says of a file
    that was not there when the pack was written what was checked instead.
    """

    sha256: Sha256
    size: Bytes | None = None
    licence: str
    url: Url | None = None
    path: Annotated[Path, Listed] | None = None
    archive: ArchiveName | None = None
    alternative: Download | None = None
    never_run: str = ""

    @model_validator(mode="after")
    def _one_origin(self) -> WeightFile:
        if sum(origin is not None for origin in (self.url, self.path, self.archive)) != 1:
            raise ValueError("give exactly one of url, path and archive")
        if self.path and self.alternative:
            raise ValueError("a path has no alternative")
        return self


class PackFile(Pack):
    """A whole pack. Paths in it are absolute once it is loaded."""

    files: dict[FileName, WeightFile]
    archives: dict[ArchiveName, Download] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _listed(self) -> PackFile:
        faults = [
            f"{model} wants the file {net.file}, which [files] does not list"
            for model, net in self.nets.items()
            if net.file not in self.files
        ]
        faults += [
            f"{name} is in the archive {file.archive}, which [archives] does not list"
            for name, file in self.files.items()
            if file.archive is not None and file.archive not in self.archives
        ]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def built(self, weights: Mapping[str, Path]) -> Pack:
        """The ensemble's part, with the digests of the files in `weights`, by their names.

        A liveness net whose file is not among them is not served, and no part of the digest.
        """
        hashes = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in weights.items()}
        fed = {model: _fed(net, hashes[net.file]) for model, net in self.nets.items() if net.file in hashes}
        judged = self.liveness and [self.liveness.min_real, self.liveness.classes, self.liveness.real_class]
        known = self.model_dump(mode="json", exclude={"files", "archives"})
        return Pack.model_validate(
            {
                **known,
                "digest": _digest([fed, judged]),
                "embedding_digest": self.embedding_digest_of(hashes[self.recognizer.file]),
                "precision": "fp32",
            }
        )

    def embedding_digest_of(self, sha256: str) -> str:
        """The embedding_digest with recognizer weights of this SHA-256, in lower-case hexadecimal."""
        return _digest({**_fed(self.recognizer, sha256), "threshold": None})


def _fed(net: Net, sha256: str) -> dict[str, object]:
    """What a net answers depends on: its weights, and how they are fed and read."""
    others = {"file", "max_batch", "keep_fp32", "second_look"}  # the second look is a net of its own
    return {"sha256": sha256, **net.model_dump(mode="json", exclude=others)}


def _digest(values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file's content. Raises PackError, in one line that names the file."""
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return values
    except OSError as error:
        raise PackError(f"no pack at {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, a number of 5,000 digits, nested too deep
        raise PackError(f"{path} is not TOML: {_printable(error)[:200]}") from None


def load_pack(path: Path) -> PackFile:
    """The pack in a TOML file. Raises PackError, in one line that names the file and each field at fault."""
    try:
        pack = PackFile.model_validate(read_toml(path))
    except ValidationError as error:
        faults = tuple(
            f"{'.'.join(map(_printable, e['loc'])) or 'pack'}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        )
        raise PackError(f"{path}: {'; '.join(faults)}", faults) from None
    beside = {
        name: file.model_copy(update={"path": path.resolve().parent / file.path}) if file.path else file
        for name, file in pack.files.items()
    }
    return pack.model_copy(update={"files": beside})


def _printable(value: object) -> str:
    return "".join(each if each.isprintable() else "?" for each in str(value))
