"""A pack's TOML file: where its nets' files come from, beside what the ensemble knows of them."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, HttpUrl, ValidationError, model_validator

from ensemble.pack import FileName, Pack, Section

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Bytes = Annotated[int, Field(gt=0)]


class PackError(ValueError):
    """A pack's file cannot be read, or says something impossible. `faults` has a line for each of its mistakes."""

    def __init__(self, reason: str, faults: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.faults = faults


class Download(Section):
    """A file on the web; `size` in bytes, where it is known, `sha256` in lower-case hexadecimal."""

    url: HttpUrl
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
    url: HttpUrl | None = None
    path: Path | None = None
    archive: FileName | None = None
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
    archives: dict[FileName, Download] = Field(default_factory=dict)

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
        faults += [
            f"{name} is listed in [files] and in [archives]" for name in self.files.keys() & self.archives.keys()
        ]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def built(self, weights: Mapping[str, Path]) -> Pack:
        """The ensemble's part, with the digest of the files in `weights`, by their names."""
        known = self.model_dump(mode="json", exclude={"files", "archives", "digest"})
        digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode())
        for name in sorted(weights):
            digest.update(hashlib.sha256(weights[name].read_bytes()).digest())
        return Pack.model_validate({**known, "digest": digest.hexdigest()})


def load_pack(path: Path) -> PackFile:
    """The pack in a TOML file. Raises PackError, in one line that names the file and each field at fault."""
    try:
        pack = PackFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise PackError(f"no pack at {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PackError(f"{path} is not TOML: {error}") from None
    except ValidationError as error:
        faults = tuple(f"{'.'.join(map(str, e['loc'])) or 'pack'}: {e['msg']}" for e in error.errors())
        raise PackError(f"{path}: {'; '.join(faults)}", faults) from None
    beside = {
        name: file.model_copy(update={"path": path.resolve().parent / file.path}) if file.path else file
        for name, file in pack.files.items()
    }
    return pack.model_copy(update={"files": beside})
