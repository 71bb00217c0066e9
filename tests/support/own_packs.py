"""Packs as a user writes them: one TOML, and weights beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomli_w

from facegate.packs.pack_file import PackFile
from facegate.packs.shipped import pack_named
from support.made_nets import sha256

SCRFD = "det_500m.onnx"


def values_of(name: str) -> dict[str, Any]:
    """A shipped pack's fields, to be changed."""
    return pack_named(name).model_dump(mode="json", exclude_none=True, exclude_defaults=True)


def local(path: Path, licence: str = "a test's") -> dict[str, Any]:
    """A file beside the TOML."""
    return {"path": path.name, "sha256": sha256(path), "licence": licence}


def write(values: dict[str, Any], path: Path) -> Path:
    """The fields as TOML."""
    path.write_text(tomli_w.dumps(values), encoding="utf-8")
    return path


def loaded(values: dict[str, Any], folder: Path) -> PackFile:
    """The pack of a TOML in `folder`."""
    return pack_named(str(write(values, folder / f"{values['name']}.toml")))
